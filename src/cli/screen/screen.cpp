#include "cli/screen/screen.hpp"

#include <fmt/format.h>
#include <spdlog/pattern_formatter.h>
#include <spdlog/sinks/base_sink.h>
#include <spdlog/spdlog.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <memory>
#include <string_view>
#include <utility>
#include <vector>

#include "base/printable.hpp"
#include "cli/log_entry.hpp"
#include "cli/log_file.hpp"
#include "cli/screen/screen_language.hpp"

namespace sluice::cli {
namespace {

class screen_sink final : public spdlog::sinks::base_sink<std::mutex> {
 public:
  explicit screen_sink(screen& shown) : shown_(shown) {}

 private:
  void sink_it_(const spdlog::details::log_msg& message) override {
    spdlog::memory_buf_t text;
    formatter_->format(message, text);
    shown_.finished_line(std::string(text.data(), text.size() > 0 ? text.size() - 1 : 0));
  }
  void flush_() override {}

  screen& shown_;
};

class file_sink final : public spdlog::sinks::base_sink<std::mutex> {
 public:
  explicit file_sink(log_file opened) : file_(std::move(opened)) {}

 private:
  void sink_it_(const spdlog::details::log_msg& message) override {
    spdlog::memory_buf_t text;
    formatter_->format(message, text);
    if (const int error = file_.append({text.data(), text.size()}); error != 0) {
      throw spdlog::spdlog_ex(fmt::format("cannot be written ({})", std::strerror(error)));
    }
  }
  void flush_() override {}

  log_file file_;
};

// The message of a log entry, made safe for a terminal.
class shown_message final : public spdlog::custom_flag_formatter {
 public:
  void format(const spdlog::details::log_msg& message, const std::tm&,
              spdlog::memory_buf_t& text) override {
    const std::string shown = printable_text({message.payload.data(), message.payload.size()});
    text.append(shown.data(), shown.data() + shown.size());
  }
  std::unique_ptr<spdlog::custom_flag_formatter> clone() const override {
    return std::make_unique<shown_message>();
  }
};

// "sluice:" in the colour of the entry's level.
class coloured_name final : public spdlog::custom_flag_formatter {
 public:
  explicit coloured_name(const line_form& form) : form_(form) {}
  void format(const spdlog::details::log_msg& message, const std::tm&,
              spdlog::memory_buf_t& text) override {
    const tone meaning = message.level >= spdlog::level::err    ? tone::bad
                         : message.level == spdlog::level::warn ? tone::waiting
                                                                : tone::plain;
    const std::string name = toned("sluice:", meaning, form_);
    text.append(name.data(), name.data() + name.size());
  }
  std::unique_ptr<spdlog::custom_flag_formatter> clone() const override {
    return std::make_unique<coloured_name>(form_);
  }

 private:
  line_form form_;
};

// `%*` is the message, and `%&` the name of the program.
std::unique_ptr<spdlog::formatter> pattern(const std::string& text, const line_form& form = {}) {
  auto formatter = std::make_unique<spdlog::pattern_formatter>();
  formatter->add_flag<shown_message>('*').add_flag<coloured_name>('&', form).set_pattern(text);
  return formatter;
}

// Calls `take` with a JSON entry for each line of a text, which may begin with the name of the
// program.
void json_lines(std::string_view text, std::string_view level,
                const std::function<void(const std::string&)>& take) {
  constexpr std::string_view program = "sluice: ";
  while (!text.empty()) {
    const std::size_t end = std::min(text.find('\n'), text.size());
    std::string_view line = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    if (line.starts_with(program)) line.remove_prefix(program.size());
    if (!line.empty()) take(log_entry(line, level));
  }
}

class json_form final : public spdlog::formatter {
 public:
  void format(const spdlog::details::log_msg& message, spdlog::memory_buf_t& text) override {
    const auto level = spdlog::level::to_string_view(message.level);
    const std::string entry =
        log_entry({message.payload.data(), message.payload.size()}, {level.data(), level.size()},
                  std::chrono::time_point_cast<std::chrono::milliseconds>(message.time));
    text.append(entry.data(), entry.data() + entry.size());
    text.push_back('\n');
  }
  std::unique_ptr<spdlog::formatter> clone() const override {
    return std::make_unique<json_form>();
  }
};

std::unique_ptr<spdlog::formatter> json_pattern() {
  return std::make_unique<json_form>();
}

}  // namespace

screen::screen() {
  const char* kind = std::getenv("TERM");
  terminal_ = ::isatty(STDERR_FILENO) == 1 && kind != nullptr && std::string_view(kind) != "dumb";
  choose_colour(colour_choice::automatic);
  choose_language({});
}

void screen::choose_colour(colour_choice chosen) {
  const char* none = std::getenv("NO_COLOR");
  const bool wanted = terminal_ && (none == nullptr || *none == '\0');
  colour_ = chosen == colour_choice::automatic ? wanted : chosen == colour_choice::always;
}

void screen::choose_language(std::optional<language> chosen) {
  spoken_ = chosen.value_or(language_of_environment());
}

line_form screen::form(bool live) const {
  const bool fits = live && is_terminal();
  return {.columns = fits ? columns_of(STDERR_FILENO) - 1 : 0,
          .colour = colour_ && !json_,
          .spoken = spoken()};
}

screen::~screen() {
  clear_live();
  if (!late_gap_.empty() && std::uncaught_exceptions() == 0) line(late_gap_);
}

void screen::line(const std::string& text) {
  show_heading();
  if (json_) {
    json_lines(text, "info", [this](const std::string& one) { writer_.finished_line(one); });
  } else {
    writer_.line(printable_lines(text));
  }
}

void screen::finished_line(const std::string& text) {
  show_heading();
  writer_.finished_line(text);
}

void screen::begin_json() {
  json_ = true;
  writer_.set_form([](const std::string& text) {
    std::string all;
    json_lines(text, "error", [&all](const std::string& one) {
      if (!all.empty()) all += '\n';
      all += one;
    });
    return all;
  });
}

void screen::live(const std::string& text) {
  if (!is_terminal()) return;
  show_heading();
  writer_.live(text);
}

void screen::clear_live() {
  writer_.live({});
}

void screen::heading(const std::string& text) {
  const std::lock_guard lock(mutex_);
  heading_ = text;
}

void screen::show_heading() {
  std::string text;
  {
    const std::lock_guard lock(mutex_);
    if (heading_.empty()) return;
    text = std::exchange(heading_, {});
    if (!quiet_) {
      writer_.finished_line(json_ ? log_entry(text, "info") : "sluice: " + printable_text(text));
    }
  }
  log_line(text);
}

void screen::log_line(const std::string& text) {
  std::unique_lock lock(mutex_);
  const auto to_file = to_file_;
  lock.unlock();  // because to_file() may report a gap
  if (to_file) to_file(text);
}

void screen::log_has_gap(const std::string& sentence) {
  {
    const std::lock_guard lock(mutex_);
    if (std::exchange(log_has_gap_, true)) return;
    if (quiet_) {
      late_gap_ = sentence;
      return;
    }
  }
  line(sentence);
}

void screen::begin_log(bool quiet, std::function<void(const std::string&)> to_file) {
  const std::lock_guard lock(mutex_);
  quiet_ = quiet;
  to_file_ = std::move(to_file);
}

void start_log(screen& shown, bool verbose, bool quiet, const std::string& file, bool json) {
  if (json) shown.begin_json();
  auto to_screen = std::make_shared<screen_sink>(shown);
  to_screen->set_formatter(json ? json_pattern() : pattern("%& %*", shown.form(false)));
  to_screen->set_level(quiet     ? spdlog::level::err
                       : verbose ? spdlog::level::debug
                                 : spdlog::level::info);
  const auto gap = [&shown, file](const std::string& why) {
    shown.log_has_gap(fmt::format("sluice: --log-file {}: {}; the log has a gap", file, why));
  };
  std::vector<spdlog::sink_ptr> sinks{to_screen};
  std::function<void(const std::string&)> heading_to_file;
  if (!file.empty()) {
    auto to_file = std::make_shared<file_sink>(open_log(file));
    to_file->set_formatter(json ? json_pattern() : pattern(log_pattern));
    to_file->set_level(spdlog::level::debug);
    sinks.push_back(to_file);
    heading_to_file = [to_file, gap](const std::string& text) {
      try {
        to_file->log(spdlog::details::log_msg("sluice", spdlog::level::info, text));
      } catch (const spdlog::spdlog_ex& failed) {
        gap(failed.what());
      }
    };
  }
  shown.begin_log(quiet, std::move(heading_to_file));
  auto logger = std::make_shared<spdlog::logger>("sluice", sinks.begin(), sinks.end());
  logger->set_level(verbose || !file.empty() ? spdlog::level::debug : spdlog::level::info);
  // The default handler of spdlog writes to standard error and could block on the terminal.
  logger->set_error_handler(gap);
  spdlog::set_default_logger(logger);
}

}  // namespace sluice::cli
