// Runs the whole engine in virtual time. Every rule must hold for some hundred seeds. If a test
// breaks the engine on purpose, at least one seed must break a rule.
#include <gmock/gmock.h>
#include <spdlog/spdlog.h>

#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "life.hpp"
#include "work_folder.hpp"

namespace sluice::simulation {
namespace {

using testing::IsEmpty;

struct simulation_test : testing::Test {
  simulation_test() { spdlog::set_level(spdlog::level::off); }

  std::string violations(const life_story& story) const {
    std::string text;
    for (const auto& one : story.violations) {
      text += "seed " + std::to_string(story.seed) + " breaks \"" + one.rule + "\": " + one.detail +
              "\n";
    }
    return text;
  }

  /// Returns the first seed up to `last` that breaks the rule. If no seed does, returns 0 and
  /// reports the other rules that were broken.
  std::uint64_t caught_by(std::string_view rule, const breakage& broken, std::uint64_t last) {
    std::map<std::string, int> others;
    for (std::uint64_t seed = 1; seed <= last; ++seed) {
      for (const auto& one : live(seed, folder.path(), false, broken).violations) {
        if (one.rule == rule) return seed;
        ++others[one.rule];
      }
    }
    for (const auto& [other, times] : others) ADD_FAILURE() << other << ": " << times;
    return 0;
  }

  work_folder folder;
};

TEST_F(simulation_test, every_rule_holds) {
  std::size_t attempts = 0;
  for (std::uint64_t seed = 1; seed <= 200; ++seed) {
    const life_story story = live(seed, folder.path());
    EXPECT_THAT(violations(story), IsEmpty()) << "simulation_soak --seed " << seed << " --trace";
    attempts += story.attempts;
  }
  EXPECT_GT(attempts, 1000U);
}

// Seeds that once broke a rule, found by simulation_soak.
TEST_F(simulation_test, seeds_that_broke_a_rule) {
  for (const std::uint64_t seed :
       {1795944310392850540U, 1795945113585517325U, 1796015140325001741U}) {
    EXPECT_THAT(violations(live(seed, folder.path())), IsEmpty()) << seed;
  }
  constexpr std::uint64_t of_shapes = 1796043462584817037U;
  EXPECT_THAT(violations(live(of_shapes, folder.path(), false, {}, theme::shapes)), IsEmpty());
}

// The nightly tests run ten thousand seeds.
std::uint64_t seeds_of_bills() {
  return std::getenv("SLUICE_NIGHTLY") != nullptr ? 10'000 : 400;
}

TEST_F(simulation_test, no_bill_of_a_relay_passes_the_budget) {
  std::size_t attempts = 0;
  for (std::uint64_t seed = 1; seed <= seeds_of_bills(); ++seed) {
    const life_story story = live(seed, folder.path(), false, {}, theme::dear_bills);
    EXPECT_THAT(violations(story), IsEmpty())
        << "simulation_soak --theme bills --seed " << seed << " --trace";
    attempts += story.attempts;
  }
  EXPECT_GT(attempts, 1000U);
}

// If a process is killed between a rejected reply and the next attempt, the cost of this reply is
// counted exactly once.
TEST_F(simulation_test, rejected_replies_are_billed_and_counted_once) {
  std::size_t attempts = 0;
  for (std::uint64_t seed = 1; seed <= seeds_of_bills(); ++seed) {
    const life_story story = live(seed, folder.path(), false, {}, theme::shapes);
    EXPECT_THAT(violations(story), IsEmpty())
        << "simulation_soak --theme shapes --seed " << seed << " --trace";
    attempts += story.attempts;
  }
  EXPECT_GT(attempts, 1000U);
}

// When the bill of a request is known, its reservation is returned. So large reservations do not
// stop a run too early.
TEST_F(simulation_test, nearly_the_whole_budget_can_be_used) {
  for (std::uint64_t seed = 1; seed <= 10; ++seed) {
    const life_story story = live(seed, folder.path(), false, {}, theme::like_requests);
    EXPECT_THAT(violations(story), IsEmpty()) << seed;
    EXPECT_GE(story.billed * 100, story.budget * 85)
        << seed << ": " << story.billed.to_string() << " of " << story.budget.to_string();
    EXPECT_LE(story.billed, story.budget) << seed;
  }
}

TEST_F(simulation_test, a_seed_replays_exactly) {
  for (std::uint64_t seed = 1000; seed < 1020; ++seed) {
    const life_story first = live(seed, folder.path(), true);
    const life_story again = live(seed, folder.path(), true);
    EXPECT_EQ(first.digest, again.digest) << seed;
    EXPECT_EQ(first.events, again.events) << seed;
  }
}

// Each of the following tests breaks the engine, or a part below it, on purpose.

class passing_file : public file {
 public:
  explicit passing_file(std::unique_ptr<file> behind) : behind_(std::move(behind)) {}
  std::size_t read_at(std::uint64_t offset, char* into, std::size_t size,
                      std::error_code& error) override {
    return behind_->read_at(offset, into, size, error);
  }
  std::size_t append(std::string_view bytes, std::error_code& error) override {
    return behind_->append(bytes, error);
  }
  std::error_code truncate(std::uint64_t size) override { return behind_->truncate(size); }
  std::error_code sync() override { return behind_->sync(); }
  std::uint64_t size() const override { return behind_->size(); }
  bool is_regular() const override { return behind_->is_regular(); }
  lock_result lock() override { return behind_->lock(); }
  std::error_code reserve(std::uint64_t bytes) override { return behind_->reserve(bytes); }
  std::optional<std::string> current_path() const override { return behind_->current_path(); }
  const file& behind() const { return *behind_; }

 private:
  std::unique_ptr<file> behind_;
};

class passing_files : public file_system {
 public:
  explicit passing_files(file_system& behind) : behind_(behind) {}
  std::unique_ptr<file> open(const std::string& path, open_as how,
                             std::error_code& error) override {
    auto opened = behind_.open(path, how, error);
    if (!opened) return nullptr;
    return wrap(path, std::move(opened));
  }
  std::error_code rename(const std::string& from, const std::string& to) override {
    return behind_.rename(from, to);
  }
  std::error_code remove(const std::string& path) override { return behind_.remove(path); }
  std::error_code sync_folder_of(const std::string& path) override {
    return behind_.sync_folder_of(path);
  }
  std::error_code make_folders(const std::string& path) override {
    return behind_.make_folders(path);
  }
  bool exists(const std::string& path) override { return behind_.exists(path); }
  bool is_folder(const std::string& path) override { return behind_.is_folder(path); }
  bool is_writable_folder(const std::string& path) override {
    return behind_.is_writable_folder(path);
  }
  std::string resolved(const std::string& path) override { return behind_.resolved(path); }
  bool is_at(const file& opened, const std::string& path) override {
    return behind_.is_at(dynamic_cast<const passing_file&>(opened).behind(), path);
  }
  void run_in_background(std::function<void()> slow) override {
    behind_.run_in_background(std::move(slow));
  }
  void finish_background() override { behind_.finish_background(); }

 protected:
  virtual std::unique_ptr<file> wrap(const std::string& /*path*/, std::unique_ptr<file> opened) {
    return std::make_unique<passing_file>(std::move(opened));
  }
  file_system& behind_;
};

class passing_sink : public result_sink {
 public:
  explicit passing_sink(result_sink& behind) : behind_(behind) {}
  funds reserve(const request& next) override { return behind_.reserve(next); }
  void unreserve(const request& next) override { behind_.unreserve(next); }
  void attempt_started(const attempt_record& attempt) override { behind_.attempt_started(attempt); }
  bool must_be_recorded() const override { return behind_.must_be_recorded(); }
  bool must_be_durable() const override { return behind_.must_be_durable(); }
  void record(const std::function<void(std::exception_ptr)>& done) override {
    behind_.record(done);
  }
  void attempt_ended(const attempt_record& attempt, attempt_end how) override {
    behind_.attempt_ended(attempt, how);
  }
  bool examines_replies() const override { return behind_.examines_replies(); }
  reply_verdict examine(request& asked, const result& finished) override {
    return behind_.examine(asked, finished);
  }
  void put(result&& finished) override { behind_.put(std::move(finished)); }
  void flush() override { behind_.flush(); }
  void make_durable(const std::function<void(std::exception_ptr)>& done) override {
    behind_.make_durable(done);
  }
  void sync() override { behind_.sync(); }

 protected:
  result_sink& behind_;
};

class passing_client : public http_client {
 public:
  explicit passing_client(http_client& behind) : behind_(behind) {}
  boost::asio::awaitable<exchange_end> exchange(outgoing request,
                                                response_handler& handler) override {
    co_return co_await behind_.exchange(request, handler);
  }
  void stop_sending() override { behind_.stop_sending(); }
  void allow_sending() override { behind_.allow_sending(); }
  void abort() override { behind_.abort(); }

 protected:
  http_client& behind_;
};

class passing_source : public request_source {
 public:
  explicit passing_source(request_source& behind) : behind_(behind) {}
  std::optional<request> next() override { return behind_.next(); }
  void cancel() override { behind_.cancel(); }
  std::string_view identity(std::size_t job) const override { return behind_.identity(job); }

 protected:
  request_source& behind_;
};

template <typename Broken, typename Part>
breakage::wrapper<Part> with() {
  return [](Part& part) { return std::make_unique<Broken>(part); };
}

TEST_F(simulation_test, catches_a_skipped_sync_of_lines) {
  struct lazy_file final : passing_file {
    using passing_file::passing_file;
    std::error_code sync() override { return {}; }
  };
  struct lazy_files final : passing_files {
    using passing_files::passing_files;
    std::unique_ptr<file> wrap(const std::string& path, std::unique_ptr<file> opened) override {
      if (!path.ends_with(".jsonl")) return passing_files::wrap(path, std::move(opened));
      return std::make_unique<lazy_file>(std::move(opened));
    }
  };
  EXPECT_NE(caught_by("a finished line reaches the disk within a second",
                      {.files = with<lazy_files, file_system>()}, 300),
            0U);
}

TEST_F(simulation_test, catches_a_skipped_sync_of_names) {
  struct lazy final : passing_files {
    using passing_files::passing_files;
    std::error_code sync_folder_of(const std::string& /*path*/) override { return {}; }
  };
  EXPECT_NE(caught_by("a complete job does not change", {.files = with<lazy, file_system>()}, 300),
            0U);
}

TEST_F(simulation_test, catches_a_record_without_sync) {
  struct lazy final : passing_sink {
    using passing_sink::passing_sink;
    void record(const std::function<void(std::exception_ptr)>& done) override { done(nullptr); }
  };
  EXPECT_NE(caught_by("attempts are counted", {.sink = with<lazy, result_sink>()}, 2000), 0U);
}

TEST_F(simulation_test, catches_a_missing_record) {
  struct forgetful final : passing_sink {
    using passing_sink::passing_sink;
    void attempt_started(const attempt_record& /*attempt*/) override {}
  };
  EXPECT_NE(caught_by("attempts are counted", {.sink = with<forgetful, result_sink>()}, 300), 0U);
}

TEST_F(simulation_test, catches_a_missing_reservation) {
  struct generous final : passing_sink {
    using passing_sink::passing_sink;
    funds reserve(const request& /*next*/) override { return funds::reserved; }
  };
  EXPECT_NE(
      caught_by("the budget is never exceeded", {.sink = with<generous, result_sink>()}, 1000), 0U);
}

TEST_F(simulation_test, catches_a_lost_attempt_that_is_settled) {
  struct trusting final : passing_sink {
    using passing_sink::passing_sink;
    void attempt_ended(const attempt_record& attempt, attempt_end how) override {
      behind_.attempt_ended(attempt, how == attempt_end::lost ? attempt_end::answered : how);
    }
  };
  EXPECT_NE(caught_by("attempts that may be billed are reported",
                      {.sink = with<trusting, result_sink>()}, 300),
            0U);
}

TEST_F(simulation_test, catches_a_request_that_waits_forever) {
  struct stingy final : passing_sink {
    using passing_sink::passing_sink;
    funds reserve(const request& next) override {
      return next.line == 2 ? funds::wait : behind_.reserve(next);
    }
  };
  EXPECT_NE(caught_by("the run ends", {.sink = with<stingy, result_sink>()}, 20), 0U);
}

TEST_F(simulation_test, catches_a_result_written_twice) {
  struct stuttering final : passing_sink {
    using passing_sink::passing_sink;
    void put(result&& finished) override {
      result again = finished;
      behind_.put(std::move(finished));
      behind_.put(std::move(again));
    }
  };
  EXPECT_NE(caught_by("one line for each request", {.sink = with<stuttering, result_sink>()}, 100),
            0U);
}

TEST_F(simulation_test, catches_a_flush_that_does_nothing) {
  struct lazy final : passing_sink {
    using passing_sink::passing_sink;
    void flush() override {}
  };
  EXPECT_NE(caught_by("a finished line reaches the file at once",
                      {.sink = with<lazy, result_sink>()}, 300),
            0U);
}

TEST_F(simulation_test, catches_a_skipped_request) {
  struct skipping final : passing_source {
    using passing_source::passing_source;
    std::optional<request> next() override {
      if (++given_ == 3) (void)behind_.next();
      return behind_.next();
    }
    int given_ = 0;
  };
  EXPECT_NE(
      caught_by("one line for each request", {.source = with<skipping, request_source>()}, 100),
      0U);
}

TEST_F(simulation_test, catches_a_request_read_twice) {
  struct stuttering final : passing_source {
    using passing_source::passing_source;
    std::optional<request> next() override {
      if (again_) return std::exchange(again_, std::nullopt);
      auto next = behind_.next();
      again_ = next;
      return next;
    }
    std::optional<request> again_;
  };
  EXPECT_NE(caught_by("a finished request is not sent again",
                      {.source = with<stuttering, request_source>()}, 100),
            0U);
}

// A window's slot must be released 60 s after the response head.
TEST_F(simulation_test, catches_a_slot_released_too_early) {
  struct hasty_handler final : response_handler {
    explicit hasty_handler(response_handler& behind) : behind_(behind) {}
    void on_sent() override {
      behind_.on_sent();
      response_head early;
      early.status = 200;
      early.fields.add("Content-Type", "text/event-stream");
      behind_.on_head(std::move(early));
    }
    void on_head(response_head head) override { behind_.on_head(std::move(head)); }
    body_need on_body(std::string_view bytes) override { return behind_.on_body(bytes); }
    response_handler& behind_;
  };
  struct hasty final : passing_client {
    using passing_client::passing_client;
    boost::asio::awaitable<exchange_end> exchange(outgoing request,
                                                  response_handler& handler) override {
      hasty_handler early(handler);
      co_return co_await behind_.exchange(request, early);
    }
  };
  EXPECT_NE(caught_by("no window above the cap", {.client = with<hasty, http_client>()}, 1000), 0U);
}

TEST_F(simulation_test, catches_a_window_lost_at_restart) {
  const auto forget = [](const std::string& limits) { std::filesystem::remove_all(limits); };
  EXPECT_NE(caught_by("no window above the cap", {.between = forget}, 300), 0U);
}

TEST_F(simulation_test, catches_results_destroyed_by_a_fresh_start) {
  struct destroying final : passing_files {
    using passing_files::passing_files;
    std::error_code rename(const std::string& from, const std::string& to) override {
      return to.find(".old-") == std::string::npos ? behind_.rename(from, to)
                                                   : behind_.remove(from);
    }
  };
  EXPECT_NE(caught_by("a fresh start keeps the old files",
                      {.files = with<destroying, file_system>()}, 300),
            0U);
}

TEST_F(simulation_test, catches_a_changed_request_that_is_not_sent) {
  struct content final : passing_source {
    using passing_source::passing_source;
    std::optional<request> next() override {
      auto next = behind_.next();
      while (next && next->body.find(R"("seed":0)") == std::string::npos) next = behind_.next();
      return next;
    }
  };
  EXPECT_NE(
      caught_by("one line for each request", {.source = with<content, request_source>()}, 300), 0U);
}

TEST_F(simulation_test, catches_a_slot_returned_after_sending) {
  struct denying final : passing_client {
    using passing_client::passing_client;
    boost::asio::awaitable<exchange_end> exchange(outgoing request,
                                                  response_handler& handler) override {
      exchange_end end = co_await behind_.exchange(request, handler);
      if (end.end != exchange_end::how::complete) end.sent_any = end.sent_whole = false;
      co_return end;
    }
  };
  EXPECT_NE(caught_by("attempts are counted", {.client = with<denying, http_client>()}, 300), 0U);
}

TEST_F(simulation_test, catches_a_reply_for_another_request) {
  struct mixing final : passing_sink {
    using passing_sink::passing_sink;
    void put(result&& finished) override {
      if (finished.outcome && held_.outcome) {
        const auto own = finished.outcome;
        finished.outcome = held_.outcome;
        held_.outcome = own;
      } else {
        held_ = finished;
      }
      behind_.put(std::move(finished));
    }
    result held_ = [] {
      result none;
      none.outcome = failure{};
      return none;
    }();
  };
  EXPECT_NE(caught_by("a line belongs to its request", {.sink = with<mixing, result_sink>()}, 100),
            0U);
}

TEST_F(simulation_test, catches_a_leaked_timer) {
  struct stubborn final : clock {
    explicit stubborn(clock& behind) : behind_(behind) {}
    time_point now() const noexcept override { return behind_.now(); }
    double unix_now() const noexcept override { return behind_.unix_now(); }
    timer call_at(time_point when, std::function<void()> callback) override {
      const timer id = ++last_;
      pending_[id] = true;
      behind_.call_at(when, [pending = alive_, this, id, callback = std::move(callback)] {
        if (*pending && pending_[id]) callback();
      });
      return id;
    }
    void cancel(timer id) noexcept override { pending_[id] = false; }
    ~stubborn() override { *alive_ = false; }

   private:
    clock& behind_;
    timer last_ = 0;
    std::map<timer, bool> pending_;
    std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
  };
  EXPECT_NE(caught_by("nothing is left waiting", {.time = with<stubborn, clock>()}, 100), 0U);
}

}  // namespace
}  // namespace sluice::simulation
