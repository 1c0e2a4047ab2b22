#include "simulation/scenario.hpp"

#include <fmt/format.h>
#include <spdlog/spdlog.h>
#include <unistd.h>

#include <algorithm>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <condition_variable>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>
#include <mutex>
#include <nlohmann/json.hpp>
#include <set>
#include <thread>
#include <vector>

#include "limit_store.hpp"
#include "simulation/simulated_relay.hpp"
#include "sluice/engine.hpp"
#include "sluice/job_set.hpp"
#include "support/manual_clock.hpp"

namespace sluice::simulation {
namespace {

using namespace std::chrono_literals;
using nlohmann::json;

constexpr duration power_patience = 1s + 200ms;  // a second, and what a sync may take to be done
constexpr duration longest_run = 100h;
constexpr unsigned most_lives = 6;  // that meet trouble, before those that must end well

// The job's reader runs on a thread of its own. It is let in only while the event loop has nothing
// to do, and waited for until it has read all and is gone: so nothing hangs on the scheduler.
class stepped_source final : public request_source {
 public:
  explicit stepped_source(request_source& inner) : inner_(inner) {}

  std::optional<request> next() override {
    {
      std::unique_lock lock(mutex_);
      reader_ = ::gettid();
      wake_.wait(lock, [&] { return open_; });
    }
    try {
      auto found = inner_.next();
      if (!found) end();
      return found;
    } catch (...) {
      end();
      throw;
    }
  }
  void cancel() override {
    inner_.cancel();
    open();
  }
  std::string_view identity(std::size_t job) const override { return inner_.identity(job); }

  void read_all() {
    open();
    {
      std::unique_lock lock(mutex_);
      wake_.wait(lock, [&] { return ended_; });
    }
    while (::tgkill(::getpid(), reader_, 0) == 0) std::this_thread::yield();
  }

 private:
  void open() {
    const std::lock_guard lock(mutex_);
    open_ = true;
    wake_.notify_all();
  }
  void end() {
    const std::lock_guard lock(mutex_);
    ended_ = true;
    wake_.notify_all();
  }

  request_source& inner_;
  std::mutex mutex_;
  std::condition_variable wake_;
  pid_t reader_ = 0;
  bool open_ = false;
  bool ended_ = false;
};

class life {
 public:
  life(std::uint64_t seed, const std::string& folder, const flaw& broken,
       const std::function<void(const std::string&)>& tell)
      : random_(seed),
        folder_(folder),
        broken_(broken),
        tell_(tell),
        disk_(clock_, random_()),
        rpm_(chance(0.2) ? 0 : 3 + static_cast<unsigned>(pick(40))),
        relay_(clock_, random_(), rpm_, 120s) {
    disk_.set_flaws(broken.disk);
    disk_.watch = [this](const std::string& what) { note(what); };
    relay_.watch = [this](const std::string& what) { note(what); };
    write_jobs();
    choose_options();
  }

  verdict play() {
    for (unsigned i = 0; i < most_lives && !told_.broken && !finished_; ++i) live(true);
    // From here on nothing goes wrong any more, and what was not paid is.
    for (unsigned i = 0; i < 3 && !told_.broken && !finished_; ++i) {
      if (i > 0) options_.output.budget.reset();
      live(false);
    }
    if (!told_.broken && !finished_) break_rule("the job is finished in the end");
    told_.attempts = relay_.arrivals();
    return told_;
  }

 private:
  bool chance(double share) {
    return std::uniform_real_distribution<double>(0, 1)(random_) < share;
  }
  std::size_t pick(std::size_t most) { return random_() % (most + 1); }
  duration up_to(duration most) {
    return duration{std::uniform_int_distribution<duration::rep>(0, most.count())(random_)};
  }

  void note(const std::string& what) {
    const std::string line = fmt::format("{:.6f} {}", clock_.since_start(), what);
    for (const char c : line) {
      told_.trace = (told_.trace ^ static_cast<unsigned char>(c)) * 1099511628211U;
    }
    if (tell_) tell_(line);
  }
  void break_rule(const std::string& how) {
    note("BROKEN: " + how);
    if (!told_.broken) told_.broken = how;
  }
  void require(bool holds, const std::string& rule) {
    if (!holds) break_rule(rule);
  }

  void write_jobs() {
    const std::size_t jobs = chance(0.25) ? 2 : 1;
    for (std::size_t job = 0; job < jobs; ++job) {
      std::string text;
      const std::size_t lines = 1 + pick(jobs == 1 ? 24 : 10);
      for (std::size_t i = 0; i < lines; ++i) {
        const std::string id = fmt::format("{}-{}", job, i);
        if (chance(0.04)) {
          text += "no request\n";
          bad_lines_[job].insert(fmt::format("line-{}", i + 1));
          continue;
        }
        text += fmt::format(
            R"({{"custom_id":"{}","method":"POST","url":"/v1/chat/completions","body":{{)"
            R"("model":"{}","messages":[{{"role":"user","content":"{}"}}],"max_tokens":{},"user":"{}"}}}})"
            "\n",
            id, simulated_model, std::string(pick(40), 'x'), 1 + pick(30), id);
        ids_[job].insert(id);
      }
      jobs_.push_back(fmt::format("{}/{}.jsonl", folder_, job));
      std::ofstream(jobs_.back(), std::ios::binary | std::ios::trunc) << text;
    }
  }

  void choose_options() {
    options_.relay.base_url = "https://relay.example/v1";
    options_.relay.api_key = "sk-simulated";
    options_.pace.requests_per_minute = rpm_ == 0 ? 0 : rpm_ + broken_.limit_beyond;
    options_.pace.window_margin = std::chrono::duration_cast<duration>(
        std::chrono::duration<double>(broken_.window_margin_s));
    options_.pace.concurrency = 1 + static_cast<unsigned>(pick(7));
    options_.pace.max_attempts = 1 + static_cast<unsigned>(pick(3));
    options_.pace.seed = 1 + pick(1000);
    options_.pace.limit_folder = folder_ + "/limits";
    options_.job.stream = chance(0.5);
    options_.output.directory = simulated_files::folder;
    options_.output.durable = chance(0.6)   ? durability::second
                              : chance(0.5) ? durability::each
                                            : durability::none;
    if (chance(0.5)) {
      const token_price price = simulated_price();
      options_.output.budget =
          (price.input * 300 + price.output * 30) * static_cast<std::int64_t>(1 + pick(12));
    }
  }

  weather choose_weather() {
    weather now;
    for (double* share : {&now.refused, &now.half_sent, &now.lost, &now.stalled, &now.cut,
                          &now.throttled, &now.failing, &now.error_in_200, &now.denied}) {
      if (chance(0.4)) *share = std::uniform_real_distribution<double>(0, 0.2)(random_);
    }
    return now;
  }

  std::string path(std::size_t job, const char* kind) const {
    return fmt::format("{}/{}.{}", simulated_files::folder, job, kind);
  }

  // One process, from its start to its end.
  void live(bool troubled) {
    ++told_.lives;
    disk_.revive();
    relay_.connect();
    relay_.set_weather(troubled ? choose_weather() : weather{});
    bool power = false;
    bool killed = false;
    std::vector<clock::timer> plans;
    const auto plan = [&](duration within, std::function<void()> act) {
      plans.push_back(clock_.call_at(clock_.now() + up_to(within), std::move(act)));
    };
    engine* running = nullptr;
    const auto die = [&] {
      note("killed");
      disk_.die();
    };
    disk_.set_full(false);
    disk_.set_sickness(0);
    if (troubled) {
      switch (pick(7)) {
        case 0:
          disk_.die_at_operation(1 + pick(80));
          break;
        case 1:
          plan(chance(0.5) ? 5s : 200s, die);
          break;
        case 2:
          power = true;
          disk_.die_at_operation(1 + pick(80));
          break;
        case 3:
          power = true;
          plan(chance(0.5) ? 5s : 200s, die);
          break;
        case 4:
          plan(60s, [&] {
            note("signal");
            if (running != nullptr) running->stop();
            plans.push_back(clock_.call_at(clock_.now() + 30s, [&] {
              if (running != nullptr) running->abort();
            }));
          });
          break;
        case 5:
          plan(60s, [&] {
            note("disk full");
            disk_.set_full(true);
          });
          break;
        case 6:
          disk_.set_sickness(0.05);
          break;
        default:
          break;
      }
    }
    const auto sent_before = relay_.attempts();
    const auto done_before = finished_ids();
    const auto lines_before = output_lines();
    run_outcome outcome;
    std::exception_ptr fault;
    bool clean = false;
    try {
      boost::asio::io_context loop{1};
      job_set jobs(jobs_, options_.job, options_.output, price_table::built_in(), disk_);
      std::unique_ptr<result_sink> between;
      if (broken_.sink) between = broken_.sink(jobs);
      result_sink& sink = between ? *between : static_cast<result_sink&>(jobs);
      stepped_source source(jobs);
      engine runner(loop, options_, clock_, {&relay_});
      running = &runner;
      bool ended = false;
      const time_point began = clock_.now();
      time_point next_totals = began + 10s;
      boost::asio::co_spawn(loop, runner.run(source, sink),
                            [&](std::exception_ptr thrown, run_outcome told) {
                              fault = std::move(thrown);
                              outcome = std::move(told);
                              ended = true;
                            });
      bool read = false;
      bool cut = false;
      while (!ended) {
        loop.restart();
        while (loop.poll() > 0) {
        }
        if (ended) break;
        if (!read) {
          source.read_all();
          read = true;
          continue;
        }
        if (disk_.dead() && !cut) {
          cut = killed = true;
          relay_.cut_off();
          runner.abort();
          continue;
        }
        if (!killed && clock_.now() >= next_totals) {
          next_totals += 10s;
          try {
            jobs.checkpoint(10, runner.now().most_in_a_minute);
          } catch (const fatal_error&) {
            runner.abort();
          }
          continue;
        }
        if (clock_.now() - began > longest_run || !clock_.run_next()) {
          break_rule("the run ends");
          runner.abort();
          relay_.cut_off();
          std::fflush(nullptr);
          std::_Exit(3);  // nothing of it can be taken down in good order
        }
      }
      running = nullptr;
      loop.restart();
      while (loop.poll() > 0) {
      }
      require(loop.stopped(), "nobody is left waiting");
      require(relay_.in_flight() == 0, "nothing is left in flight");
      killed = killed || disk_.dead();
      const auto status =
          outcome.reason == stop_reason::none ? job_status::completed : job_status::stopped;
      if (!killed) {
        jobs.finish(fault ? job_status::stopped : status, 1, runner.now().most_in_a_minute);
        clean = !fault && !disk_.dead();
        if (clean) check_totals(jobs);
      }
    } catch (const fatal_error& refused) {
      note(std::string("refused: ") + refused.what());
      running = nullptr;
    }
    killed = killed || disk_.dead();
    for (const auto timer : plans) clock_.cancel(timer);
    if (killed && power) {
      ++told_.power_cuts;
      note("power lost");
      const auto late = disk_.lose_power(power_patience);
      require(!late || options_.output.durable == durability::none,
              "finished lines reach the disk within a second: " + late.value_or(""));
      lost_power_ = true;
    } else if (killed) {
      ++told_.kills;
    }
    disk_.revive();
    if (!power) {
      require(clock_.calls_to_come() == 0, "no call is left on the clock");
    }
    check_lines(clean, killed && power, lines_before);
    for (const auto& [id, times] : relay_.attempts()) {
      const auto before = sent_before.find(id);
      const unsigned earlier = before == sent_before.end() ? 0 : before->second;
      require(!done_before.contains(id) || times == earlier,
              id + " is not sent again, since it had its line");
    }
    if (options_.output.budget) {
      require(relay_.billed() <= *options_.output.budget,
              fmt::format("the bill of ${} stays within the budget of ${}",
                          relay_.billed().to_string(), options_.output.budget->to_string()));
    }
    require(rpm_ == 0 || relay_.most_in_a_minute() <= rpm_,
            fmt::format("no more than {} arrive in a minute: {}", rpm_, relay_.most_in_a_minute()));
    finished_ = clean && outcome.reason == stop_reason::none;
    if (finished_) check_all_done();
    clock_.advance(up_to(chance(0.5) ? 2s : 100s));
  }

  // By job, the lines of one of its files; a torn one at the end is none.
  std::vector<json> lines_of(std::size_t job, const char* kind) {
    std::vector<json> all;
    const std::string text = disk_.content(path(job, kind));
    std::size_t begin = 0;
    for (std::size_t end = 0; (end = text.find('\n', begin)) != std::string::npos;
         begin = end + 1) {
      json line = json::parse(text.substr(begin, end - begin), nullptr, false);
      if (line.is_object()) {
        all.push_back(std::move(line));
      } else {
        break_rule("every line is whole: " + text.substr(begin, end - begin));
      }
    }
    return all;
  }
  std::set<std::string> finished_ids() {
    std::set<std::string> ids;
    for (std::size_t job = 0; job < jobs_.size(); ++job) {
      for (const json& line : lines_of(job, "output.jsonl")) ids.insert(line["custom_id"]);
    }
    return ids;
  }
  std::vector<std::string> output_lines() {
    std::vector<std::string> texts;
    for (std::size_t job = 0; job < jobs_.size(); ++job) {
      for (const json& line : lines_of(job, "output.jsonl")) texts.push_back(line.dump());
    }
    return texts;
  }

  void check_lines(bool clean, bool power_was_lost, const std::vector<std::string>& before) {
    std::vector<std::string> now = output_lines();
    std::sort(now.begin(), now.end());
    for (const std::string& line : before) {
      // What a run found is safe from then on, whatever becomes of it, where lines are synced at
      // all.
      if (power_was_lost && options_.output.durable == durability::none && !options_.output.budget)
        break;
      require(std::binary_search(now.begin(), now.end(), line), "no finished line is lost");
    }
    for (std::size_t job = 0; job < jobs_.size(); ++job) {
      std::map<std::string, int> output;
      std::map<std::string, int> errors;
      for (const json& line : lines_of(job, "output.jsonl")) ++output[line["custom_id"]];
      for (const json& line : lines_of(job, "errors.jsonl")) ++errors[line["custom_id"]];
      for (const auto& [id, times] : output) {
        require(times == 1, id + " has one result");
        require(!clean || !errors.contains(id), id + " has a line in one file only");
        require(ids_[job].contains(id), id + " is of the job");
      }
      for (const auto& [id, times] : errors) require(!clean || times == 1, id + " has one failure");
    }
  }

  void check_all_done() {
    for (std::size_t job = 0; job < jobs_.size(); ++job) {
      std::set<std::string> seen;
      for (const char* kind : {"output.jsonl", "errors.jsonl"}) {
        for (const json& line : lines_of(job, kind)) seen.insert(line["custom_id"]);
      }
      for (const std::string& id : ids_[job]) require(seen.contains(id), id + " has its line");
      for (const std::string& id : bad_lines_[job])
        require(seen.contains(id), id + ", a bad one, has its line");
    }
    for (const std::string& name : disk_.paths()) {
      require(!name.ends_with(".new") && !name.ends_with(".state"), name + " is not left behind");
    }
  }

  // What the totals say is what the lines say.
  void check_totals(const job_set& jobs) {
    std::uint64_t attempts = 0;
    std::uint64_t maybe_billed = 0;
    std::uint64_t paid = 0;
    for (std::size_t job = 0; job < jobs_.size(); ++job) {
      const json told = json::parse(disk_.content(path(job, "totals.json")), nullptr, false);
      if (!told.is_object()) return break_rule("the totals can be read");
      usd cost;
      std::int64_t tokens = 0;
      const auto output = lines_of(job, "output.jsonl");
      const auto errors = lines_of(job, "errors.jsonl");
      for (const json& line : output) {
        const json& own = line["sluice"];
        if (own["usage"].is_object()) {
          tokens += own["usage"]["prompt_tokens"].get<std::int64_t>() +
                    own["usage"]["completion_tokens"].get<std::int64_t>();
        }
        if (own["cost_usd"].is_string())
          cost += *usd::parse(own["cost_usd"].get_ref<const std::string&>());
      }
      require(told["cost_usd"] == cost.to_string(), "the cost is the sum of the lines'");
      require(told["tokens"]["total"] == tokens, "the tokens are the sum of the lines'");
      require(told["succeeded"] == output.size(), "the successes are the output's lines");
      require(told["failed"] == errors.size(), "the failures are the errors file's lines");
      require(told["requests"].get<std::size_t>() == ids_[job].size() + bad_lines_[job].size(),
              "the requests are the job's lines");
      attempts += jobs.totals(job).attempts;
      maybe_billed += jobs.totals(job).maybe_billed_attempts;
      paid += output.size();
    }
    if (lost_power_) return;  // what was counted in the last seconds may be lost with it
    require(attempts >= relay_.arrivals(), "every attempt that arrived is counted");
    require(maybe_billed + paid >= relay_.billed_attempts(),
            "what was billed has a line, or is counted as maybe billed");
  }

  std::mt19937_64 random_;
  const std::string folder_;
  const flaw& broken_;
  const std::function<void(const std::string&)>& tell_;
  test::manual_clock clock_;
  simulated_files disk_;
  const unsigned rpm_;
  simulated_relay relay_;
  config options_;
  std::vector<std::string> jobs_;
  std::map<std::size_t, std::set<std::string>> ids_;        // of good lines, by job
  std::map<std::size_t, std::set<std::string>> bad_lines_;  // by job
  bool lost_power_ = false;
  bool finished_ = false;
  verdict told_;
};

}  // namespace

verdict play(std::uint64_t seed, const std::string& folder, const flaw& broken,
             const std::function<void(const std::string&)>& tell) {
  spdlog::set_level(spdlog::level::off);
  std::filesystem::remove_all(folder + "/limits");
  return life(seed, folder, broken, tell).play();
}

}  // namespace sluice::simulation
