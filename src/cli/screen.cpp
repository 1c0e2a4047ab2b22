#include "cli/screen.hpp"

#include <spdlog/sinks/base_sink.h>
#include <spdlog/sinks/basic_file_sink.h>
#include <spdlog/spdlog.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string_view>

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
  std::fputs((text + "\n").c_str(), stderr);
  if (!live_.empty()) draw();
}

void screen::live(const std::string& text) {
  const std::lock_guard lock(mutex_);
  if (!terminal_) return;
  erase();
  live_ = text;
  draw();
}

void screen::clear_live() {
  const std::lock_guard lock(mutex_);
  erase();
  live_.clear();
}

void start_log(screen& shown, bool verbose, bool quiet, const std::string& file) {
  auto to_screen = std::make_shared<screen_sink>(shown);
  to_screen->set_pattern("sluice: %v");
  to_screen->set_level(quiet     ? spdlog::level::err
                       : verbose ? spdlog::level::debug
                                 : spdlog::level::info);
  std::vector<spdlog::sink_ptr> sinks{to_screen};
  if (!file.empty()) {
    try {
      auto to_file = std::make_shared<spdlog::sinks::basic_file_sink_mt>(file);
      to_file->set_pattern("%Y-%m-%dT%H:%M:%S.%e%z %l %v");
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
