#include "cli/commands/ask_command.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/printable.hpp"
#include "base/refuse.hpp"
#include "cli/graceful_stop.hpp"
#include "cli/log_observer.hpp"
#include "cli/screen/progress_display.hpp"
#include "cli/screen/screen.hpp"
#include "cli/screen/wait_notice.hpp"
#include "cli/settings/prepared_relays.hpp"
#include "cli/settings/run_settings.hpp"
#include "cli/single_question.hpp"
#include "jobs/job_line.hpp"
#include "json/text.hpp"
#include "money/cost_bound.hpp"
#include "sluice/engine.hpp"
#include "terminal/descriptors.hpp"
#include "terminal/exit_status.hpp"
#include "terminal/screen_writer.hpp"
#include "terminal/standard_output.hpp"
#include "views/progress.hpp"
#include "views/run_summary.hpp"
#include "views/shown_amount.hpp"

namespace sluice::cli {
namespace {

namespace asio = boost::asio;

constexpr const char* usual_model = "gpt-4o-mini";

struct ask_settings {
  run_settings run;
  std::string file;
};

// All text of an open file. Without it, or with a part of it, the prompt would be another one.
std::string read_all(int file, const std::string& name) {
  constexpr std::size_t block = 65536;
  std::string text;
  for (;;) {
    const std::size_t before = text.size();
    text.resize(before + block);
    const ssize_t n = ::read(file, text.data() + before, block);
    const int error = errno;
    text.resize(before + static_cast<std::size_t>(std::max<ssize_t>(n, 0)));
    if (n == 0) break;
    if (n > 0 || error == EINTR) continue;
    if (error == EISDIR) refuse(name, "is a folder; name a text file");
    refuse(name, fmt::format("cannot be read ({})", std::strerror(error)));
  }
  if (valid_utf8(text) != text)
    refuse(name, "is not UTF-8 text; convert it, for example with iconv");
  return text;
}

bool is_blank(std::string_view text) {
  return text.find_first_not_of(" \t\r\n") == std::string_view::npos;
}

std::string read_text_file(const std::string& path) {
  const std::string name = "--file " + path;
  const int file = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOCTTY);
  if (file < 0)
    refuse(name, fmt::format("cannot be read ({}); check the path", std::strerror(errno)));
  const std::unique_ptr<const int, void (*)(const int*)> open_file(
      &file, [](const int* opened) { ::close(*opened); });
  std::string text = read_all(file, name);
  if (is_blank(text)) refuse(name, "holds no text; name another file, or leave it out");
  return text;
}

// The prompt: the words of the command line, followed by the file; without words, standard input.
std::string prompt_of(const ask_settings& chosen, const std::vector<std::string>& words) {
  std::string prompt;
  const bool from_input = words.size() == 1 && words.front() == "-";
  if (!from_input) {
    for (const auto& word : words) prompt += (prompt.empty() ? "" : " ") + word;
  }
  const bool piped = words.empty() && chosen.file.empty() && ::isatty(STDIN_FILENO) == 0;
  if (from_input || piped) {
    require_standard_input({"-"});
    prompt = read_all(STDIN_FILENO, "standard input");
  }
  if (!chosen.file.empty()) {
    const std::string text = read_text_file(chosen.file);
    prompt += prompt.empty() ? text : "\n\n" + text;
  }
  if (is_blank(prompt)) {
    refuse("there is no prompt; write it behind the command, as in: sluice ask \"Hello\"");
  }
  return prompt;
}

request request_of(const std::string& prompt, const job_options& options) {
  std::string line = R"({"prompt":)";
  append_json_quoted(line, prompt);
  line += '}';
  auto asked = parse_job_line(line, 1, options);
  if (!asked) refuse(asked.error().message);
  return std::move(*asked);
}

// Prints text as it arrives. On a terminal, control characters are removed, because the terminal
// would execute them.
class answer_printer {
 public:
  bool at_line_begin() const noexcept { return at_line_begin_; }
  void add(std::string_view more) {
    if (more.empty()) return;
    print(terminal_ ? printable_lines(more) : std::string(more));
    at_line_begin_ = more.back() == '\n';
  }
  void end_line() {
    if (!std::exchange(at_line_begin_, true)) print(std::string("\n"));
  }

 private:
  const bool terminal_ = ::isatty(STDOUT_FILENO) != 0;
  bool at_line_begin_ = true;
};

std::string tokens_of(const result& answer, language spoken) {
  const reply& whole = *answer.outcome;
  const auto& usage = whole.usage ? whole.usage : whole.estimated_usage;
  if (!usage) return say(spoken, "tokens unknown");
  const std::string prompt = grouped(static_cast<std::uint64_t>(usage->prompt_tokens));
  const std::string completion = grouped(static_cast<std::uint64_t>(usage->completion_tokens));
  return whole.usage
             ? say(spoken, "{} prompt + {} completion tokens", prompt, completion)
             : say(spoken, "{} prompt + {} completion tokens (counted here)", prompt, completion);
}

// Shows what the prompt waits for. The live line is removed before the answer is printed, since
// both may be on the same terminal.
class wait_display {
 public:
  wait_display(engine& runner, screen& shown, const answer_printer& printer, bool quiet)
      : runner_(runner), screen_(shown) {
    if (quiet) {
      notice_.emplace(runner.time(), shown, [&runner] { return facts_of(runner); });
    } else {
      display_.emplace(runner.time(), shown,
                       progress_source{.line = [this, &printer](const line_form& form) {
                         return printer.at_line_begin() ? line(form) : std::string();
                       }});
    }
  }

  void make_room() {
    if (!std::exchange(drawn_, false)) return;
    screen_.clear_live();
    standard_error().settle(std::chrono::milliseconds{200});
  }
  void leave() {
    if (notice_) notice_->leave();
    if (display_) display_->leave();
    make_room();
  }

 private:
  std::string line(const line_form& form) {
    const progress_facts facts = facts_of(runner_);
    if (facts.run.in_flight > 0) return {};
    const wait_text wait = reason_to_wait(facts, form.spoken);
    if (wait.sentence.empty()) return {};
    drawn_ = true;
    fitted_line line;
    line.add({.text = wait.sentence, .brief = wait.brief, .meaning = tone::waiting});
    return line.in(form);
  }

  engine& runner_;
  screen& screen_;
  bool drawn_ = false;
  std::optional<wait_notice> notice_;
  std::optional<progress_display> display_;
};

void tell_end(screen& shown, const single_question& question) {
  const language spoken = shown.spoken();
  const result& answer = *question.answer();
  if (!answer.outcome->finish_reasons.contains("stop")) {
    for (const auto& [reason, count] : answer.outcome->finish_reasons) {
      const std::string word = printable_text(reason);
      shown.line(
          "sluice: " +
          (reason == "length"
               ? say(spoken, "the answer ended with finish reason '{}'; raise --max-tokens", word)
               : say(spoken, "the answer ended with finish reason '{}'", word)));
    }
  }
  shown.line("sluice: " +
             say(spoken, "{}: {}, {}, {:.1f} s", printable_text(answer.model),
                 tokens_of(answer, spoken),
                 question.cost() ? shown_amount(*question.cost()) : say(spoken, "cost unknown"),
                 answer.latency_ms / 1000));
  if (question.maybe_billed() > 0) {
    shown.line("sluice: " + say(spoken, "{} earlier attempt(s) broke and may have been billed",
                                question.maybe_billed()));
  }
}

exit_status tell_failure(screen& shown, const result& answer, const relay_prices& prices) {
  const failure& why = answer.outcome.error();
  std::string advice;
  if (why.http_status == 404 || why.http_status == 400) {
    advice = prices.did_you_mean(answer.model) +
             say(shown.spoken(), "; 'sluice models' lists what the relay has");
  }
  shown.line(fmt::format("sluice: {}{}", printable_text(described(why, answer.model)), advice));
  return some_failed;
}

exit_status ask(ask_settings& chosen, const std::vector<std::string>& words) {
  screen shown;
  run_settings& run = chosen.run;
  shown.choose_colour(run.colour);
  shown.choose_language(run.spoken);
  start_log(shown, run.verbose, run.quiet, run.log_file, run.json_log);
  if (run.engine.job.model.empty()) run.engine.job.model = usual_model;
  const std::string prompt = prompt_of(chosen, words);
  prepared_relays relays(run, shown, {.use = relay_use::send, .check_all = true});
  relays.show_hosts();
  const relay_prices prices = relays.prices();
  request asked = request_of(prompt, run.engine.job);
  const auto& output = run.engine.output;
  std::optional<job_set::budget_shortage> shortage;
  if (output.budget) {
    const auto without = set_cost_bound(asked, prices, std::nullopt,
                                        {output.assume_max_tokens, output.tier_default});
    if (without) refuse(without->why);
    shortage = {asked.most, *output.budget, reply_limit_within(*output.budget, asked)};
  }

  asio::io_context loop(BOOST_ASIO_CONCURRENCY_HINT_UNSAFE_IO);
  engine runner(loop, run.engine, &log_observer());
  answer_printer printer;
  wait_display waits(runner, shown, printer, run.quiet);
  single_question question(
      std::move(asked), fmt::format("ask {}", std::random_device{}()), prices, output.budget,
      {.text =
           [&](std::string_view more) {
             waits.make_room();
             printer.add(more);
           },
       .starts_again =
           [&] {
             printer.end_line();
             shown.line("sluice: " + say(shown.spoken(), "the answer broke off; it starts again"));
           }});
  run_outcome outcome;
  std::exception_ptr fault;
  {
    graceful_stop ending(
        loop, runner.time(), {},
        {.stop = [&runner] { runner.stop(); }, .abort = [&runner] { runner.abort(); }});
    asio::co_spawn(loop, runner.run(question, question),
                   [&](std::exception_ptr thrown, run_outcome ended) {
                     fault = std::move(thrown);
                     outcome = std::move(ended);
                     ending.leave();
                     waits.leave();
                   });
    loop.run();
    if (fault) std::rethrow_exception(fault);
    printer.end_line();
    if (ending.interrupted()) return interrupted;
  }
  if (const auto sentence = stop_sentence(outcome, shortage); !sentence.empty())
    shown.line("sluice: " + sentence.in(shown.spoken()));
  if (!question.answer()) {
    switch (outcome.reason) {
      case stop_reason::wrong_address:
      case stop_reason::bad_certificate:
      case stop_reason::bad_proxy:
        return cannot_start;
      default:
        return stopped;
    }
  }
  if (!question.answer()->outcome) return tell_failure(shown, *question.answer(), prices);
  if (!run.quiet) tell_end(shown, question);
  return success;
}

std::vector<setting> ask_flags(ask_settings& target) {
  auto table = run_flags(target.run, {"model",
                                      "system",
                                      "max-tokens",
                                      "base-url",
                                      "api-key-file",
                                      "header",
                                      "simulate",
                                      "insecure",
                                      "no-stream",
                                      "rpm",
                                      "budget",
                                      "assume-max-tokens",
                                      "tier-default",
                                      "prices",
                                      "price-multiplier",
                                      "price-group",
                                      "max-attempts",
                                      "connect-timeout",
                                      "first-byte-timeout",
                                      "idle-timeout",
                                      "timeout",
                                      "config",
                                      "quiet",
                                      "color",
                                      "lang",
                                      "verbose",
                                      "log-file",
                                      "json-log"});
  describe(table, "model", "Model to ask",
           "The model that gets the prompt, under the name that the relay uses.", usual_model);
  describe(table, "system", "System message before the prompt",
           "Sends this system message with the prompt.");
  describe(table, "max-tokens", "Longest answer, in tokens",
           "Limits the answer, and with it what it can cost.");
  describe(table, "budget", "Do not ask if the answer may cost more",
           "The prompt is sent only if the answer cannot cost more than this, attempts that broke "
           "included.");
  table.push_back({.name = "file",
                   .letter = 'f',
                   .value = "FILE",
                   .group = "Prompt",
                   .short_help = "Text to add to the prompt",
                   .long_help = "Adds the content of the file to the prompt, behind an empty line. "
                                "Without other words the file is the prompt.",
                   .apply = [&target](const std::string& path) { target.file = path; },
                   .in_config = false});
  return table;
}

}  // namespace

command ask_command() {
  struct state {
    ask_settings chosen;
    std::vector<std::string> words;
  };
  auto kept = std::make_shared<state>();
  const auto flags =
      std::make_shared<settings>(ask_flags(kept->chosen), run_tables(kept->chosen.run));
  return {
      .name = "ask",
      .summary = "Send one prompt and print the answer while it arrives",
      .operand = "PROMPT",
      .operand_help = "the prompt, or - for standard input",
      .description =
          "Uses the same key, address, rate limit and prices as a run. The answer goes to standard "
          "output; tokens, cost and time go to standard error. Without a prompt it is read from "
          "standard input, unless that is a terminal.",
      .common_flags = {"base-url", "api-key-file", "simulate", "model", "system", "file",
                       "max-tokens", "budget", "rpm", "profile", "quiet"},
      .exit_statuses = {{0, "the model answered"},
                        {1, "the request failed"},
                        {2, "cannot start"},
                        {3, "stopped: budget, quota, key refused or relay down"},
                        {130, "interrupted"}},
      .examples = {"sluice ask \"你好\"",
                   "sluice ask --model gpt-4o --system \"Answer in French\" \"What is a sluice?\"",
                   "sluice ask -f report.txt \"Summarize this:\"",
                   "git diff | sluice ask --simulate"},
      .flags = flags,
      .operands = {kept, &kept->words},
      .run =
          [kept, flags] {
            read_settings(*flags, kept->chosen.run);
            return ask(kept->chosen, kept->words);
          },
  };
}

}  // namespace sluice::cli
