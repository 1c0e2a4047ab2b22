#include "cli/screen.hpp"

#include <spdlog/pattern_formatter.h>
#include <spdlog/sinks/base_sink.h>
#include <spdlog/sinks/basic_file_sink.h>
#include <spdlog/spdlog.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string_view>

#include "shown_text.hpp"
#include "sluice/error.hpp"

namespace sluice::cli {
namespace {

class screen_sink final : public spdlog::sinks::base_sink<std::mutex> {
 public:
  explicit screen_sink(screen& shown) : shown_(shown) {}

 private:
  void sink_it_(const spdlog::details::log_msg& message) override {
    spdlog::memory_buf_t text;
    formatter_->format(message, text);
    shown_.line(std::string(text.data(), text.size() > 0 ? text.size() - 1 : 0));
  }
  void flush_() override {}

  screen& shown_;
};

// The message of a log entry, as it may be shown.
class shown_message final : public spdlog::custom_flag_formatter {
 public:
  void format(const spdlog::details::log_msg& message, const std::tm&,
              spdlog::memory_buf_t& text) override {
    const std::string shown = shown_text({message.payload.data(), message.payload.size()});
    text.append(shown.data(), shown.data() + shown.size());
  }
  std::unique_ptr<spdlog::custom_flag_formatter> clone() const override {
    return std::make_unique<shown_message>();
  }
};

// `%*` stands for the message.
std::unique_ptr<spdlog::formatter> pattern(const std::string& text) {
  auto formatter = std::make_unique<spdlog::pattern_formatter>();
  formatter->add_flag<shown_message>('*').set_pattern(text);
  return formatter;
}

// Makes files, while in scope, that nobody else can read.
class private_files {
 public:
  private_files() : before_(::umask(S_IRWXG | S_IRWXO)) {}
  private_files(const private_files&) = delete;
  private_files& operator=(const private_files&) = delete;
  ~private_files() { ::umask(before_); }

 private:
  mode_t before_;
};

// How much of a UTF-8 text fits into so many columns, taking each code point for one.
std::size_t fitting(std::string_view text, std::size_t columns) {
  std::size_t at = 0;
  for (std::size_t seen = 0; at < text.size(); ++at) {
    const bool begins = (static_cast<unsigned char>(text[at]) & 0xC0U) != 0x80U;
    if (begins && seen++ == columns) break;
  }
  return at;
}

}  // namespace

screen::screen() {
  const char* kind = std::getenv("TERM");
  terminal_ = ::isatty(STDERR_FILENO) == 1 && kind != nullptr && std::string_view(kind) != "dumb";
}

screen::~screen() {
  clear_live();
}

void screen::erase() {
  if (!live_.empty()) std::fputs("\r\x1b[K", stderr);
}

void screen::draw() {
  winsize size{};
  const bool known = ::ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0;
  const std::size_t columns = known ? size.ws_col : 80U;
  std::fwrite(live_.data(), 1, fitting(live_, columns - 1), stderr);
  std::fflush(stderr);
}

void screen::line(const std::string& text) {
  const std::lock_guard lock(mutex_);
  erase();
  std::fputs((shown_lines(text) + "\n").c_str(), stderr);
  if (!live_.empty()) draw();
}

void screen::live(const std::string& text) {
  const std::lock_guard lock(mutex_);
  if (!terminal_) return;
  erase();
  live_ = shown_text(text);
  draw();
}

void screen::clear_live() {
  const std::lock_guard lock(mutex_);
  erase();
  live_.clear();
}

void start_log(screen& shown, bool verbose, bool quiet, const std::string& file) {
  auto to_screen = std::make_shared<screen_sink>(shown);
  to_screen->set_formatter(pattern("sluice: %*"));
  to_screen->set_level(quiet     ? spdlog::level::err
                       : verbose ? spdlog::level::debug
                                 : spdlog::level::info);
  std::vector<spdlog::sink_ptr> sinks{to_screen};
  if (!file.empty()) {
    try {
      const private_files mine;  // it tells what was asked and answered
      auto to_file = std::make_shared<spdlog::sinks::basic_file_sink_mt>(file);
      to_file->set_formatter(pattern("%Y-%m-%dT%H:%M:%S.%e%z %l %*"));
      to_file->set_level(spdlog::level::debug);
      sinks.push_back(to_file);
    } catch (const spdlog::spdlog_ex&) {
      throw fatal_error(fatal_error::kind::cannot_start,
                        "--log-file " + file + ": cannot be written; choose another place");
    }
  }
  auto logger = std::make_shared<spdlog::logger>("sluice", sinks.begin(), sinks.end());
  logger->set_level(verbose || !file.empty() ? spdlog::level::debug : spdlog::level::info);
  logger->flush_on(spdlog::level::warn);
  spdlog::set_default_logger(logger);
}

}  // namespace sluice::cli
