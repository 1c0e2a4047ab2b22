#pragma once

#include <gtest/gtest.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <exception>
#include <filesystem>
#include <fstream>
#include <functional>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "async/background.hpp"
#include "files/file_system.hpp"
#include "server/access_keys.hpp"
#include "server/batch_runner.hpp"
#include "server/data_folder.hpp"
#include "server/object_id.hpp"
#include "sluice/engine.hpp"
#include "store/batch_store.hpp"
#include "support/fake_client.hpp"
#include "support/faulty_files.hpp"
#include "support/manual_clock.hpp"
#include "support/memory_store.hpp"
#include "support/temp_dir.hpp"

namespace sluice::server {

/// A runner of batches on a manual clock, with a fake relay and a store in memory. The files are
/// real, in a temporary folder.
struct server_rig : testing::Test {
  server_rig() {
    spdlog::set_level(spdlog::level::off);
    files.at_once = true;
    options.pace.seed = 1;
    options.pace.requests_per_minute = 0;
    options.pace.keep_going = true;
    relay.plan = [](const test::exchange_call&) { return test::completion_plan(); };
  }
  ~server_rig() override { abort(); }

  /// Starts the runner, or starts it again after stop() or kill().
  batch_runner& runner() {
    if (!runner_) {
      engine_ = std::make_unique<engine>(loop, options, time, std::vector<http_client*>{&relay},
                                         &notices);
      runner_ = std::make_unique<batch_runner>(loop, disk, records, folder, *engine_, prices, keys,
                                               runner_settings, &notices);
      ended = false;
      boost::asio::co_spawn(loop, runner_->work(), [this](const std::exception_ptr& thrown) {
        EXPECT_EQ(thrown, nullptr);
        ended = true;
      });
    }
    return *runner_;
  }
  /// The engine of the runner.
  engine& sender() {
    runner();
    return *engine_;
  }
  /// Stops the server gracefully, as SIGTERM does.
  void stop() {
    if (!runner_) return;
    runner_->stop();
    run([this] { return ended; });
    EXPECT_TRUE(ended) << "the runner hangs";
    runner_.reset();
    engine_.reset();
  }

  /// Ends the server as kill -9 does: its files and records are those of this moment, and the next
  /// start finds them.
  void kill() {
    const test::memory_store kept = records;
    const test::temp_dir copy;
    namespace fs = std::filesystem;
    constexpr auto everything = fs::copy_options::recursive | fs::copy_options::overwrite_existing;
    fs::copy(place.path(), copy.path(), everything);
    abort();
    runner_.reset();
    engine_.reset();
    for (const auto& entry : fs::directory_iterator(place.path())) fs::remove_all(entry.path());
    fs::copy(copy.path(), place.path(), everything);
    records = kept;
    records.release_claims(runner_settings.server_name);
  }

  /// Ends the runner's work at once. The destructor does the same, but at that time the members of
  /// a derived class are already destroyed. If the runner uses such members, the derived class
  /// calls this first.
  void abort() {
    if (!runner_ || ended) return;
    runner_->abort();
    run([this] { return ended; });
  }

  static std::string line(const std::string& id, const std::string& model = "gpt-4o-mini") {
    return R"({"custom_id":")" + id +
           R"(","method":"POST","url":"/v1/chat/completions","body":{"model":")" + model +
           R"(","max_tokens":10,"messages":[{"role":"user","content":"hi )" + id + R"("}]}})" +
           "\n";
  }
  static std::string lines(std::size_t count) {
    std::string text;
    for (std::size_t i = 1; i <= count; ++i) text += line("r" + std::to_string(i));
    return text;
  }

  /// Stores a file and creates a batch for it, as the routes do.
  std::string create(const std::string& input,
                     const std::function<void(store::batch_record&)>& change = {}) {
    store::batch_record batch;
    batch.id = new_object_id("batch_");
    batch.endpoint = "/v1/chat/completions";
    batch.completion_window = "24h";
    batch.created_at = unix_now();
    batch.expires_at = batch.created_at + 86400;
    if (change) change(batch);
    store::file_record file;
    file.id = new_object_id("file-");
    file.owner = batch.owner;
    file.purpose = "batch";
    file.bytes = input.size();
    const auto draft = folder.new_draft();
    draft->append(input);
    draft->publish(file.id);
    records.add_file(file);
    batch.input_file_id = file.id;
    EXPECT_TRUE(folder.take_input(file.id, batch.id));
    EXPECT_TRUE(records.create_batch(batch));
    owners_[batch.id] = batch.owner;
    if (runner_) runner_->wake();
    return batch.id;
  }
  store::batch_record batch(const std::string& id) {
    const auto found = records.find_batch(owners_.at(id), id);
    EXPECT_TRUE(found) << id;
    return found.value_or(store::batch_record{});
  }
  bool has_ended(const std::string& id) { return store::has_ended(batch(id).status); }
  void run_until_ended(const std::vector<std::string>& ids) {
    runner();
    run([&] {
      return std::all_of(ids.begin(), ids.end(), [&](const auto& id) { return has_ended(id); });
    });
    for (const auto& id : ids) EXPECT_TRUE(has_ended(id)) << id << " hangs";
  }
  void run(const std::function<bool()>& until) {
    // Time does not move while a reader thread is about to bring requests.
    test::run_virtual(loop, time, until, [this] { return !engine_ || !engine_->now().reading; });
  }

  /// Runs the server for this time.
  void pass(duration length) {
    bool reached = false;
    const auto alarm = time.call_at(time.now() + length, [&] { reached = true; });
    run([&] { return reached; });
    time.cancel(alarm);
  }

  /// The custom_id and error code of each line of a result file. The code is empty if the line has
  /// no error.
  std::map<std::string, std::string> result(const std::optional<std::string>& file) {
    std::map<std::string, std::string> found;
    if (!file) return found;
    std::ifstream content(folder.file(*file), std::ios::binary);
    EXPECT_TRUE(content.is_open()) << *file << " is missing";
    for (std::string text; std::getline(content, text);) {
      const auto one = nlohmann::json::parse(text);
      const std::string code =
          one["error"].is_null() ? "" : one["error"]["code"].get<std::string>();
      EXPECT_TRUE(found.emplace(one["custom_id"], code).second) << "two lines of " << text;
    }
    return found;
  }
  std::int64_t unix_now() const { return static_cast<std::int64_t>(time.unix_now()); }

  struct notice_log final : observer {
    void on_notice(const notice& event) override {
      if (event.level == severity::warning) warnings.emplace_back(event.text);
    }
    std::vector<std::string> warnings;
  };

  boost::asio::io_context loop{1};
  test::manual_clock time;
  test::fake_client relay{time};
  notice_log notices;
  test::temp_dir place;
  test::faulty_files files;
  data_folder folder{place.path(), files};
  test::memory_store records;
  background disk{loop, 0};
  relay_prices prices{price_table::built_in()};
  access_keys keys;
  config options;
  runner_options runner_settings;
  bool ended = true;

 private:
  std::unique_ptr<engine> engine_;
  std::unique_ptr<batch_runner> runner_;
  std::map<std::string, std::string> owners_;
};

}  // namespace sluice::server
