#pragma once

#include <functional>
#include <mutex>
#include <string>

#include "terminal/screen_writer.hpp"

namespace sluice::cli {

/// Standard error as a person sees it: lines that stay, and below them, on a terminal, one live
/// line that is written over. Never waits for its reader. May be used from any thread.
class screen {
 public:
  screen();
  ~screen();
  screen(const screen&) = delete;
  screen& operator=(const screen&) = delete;

  bool is_terminal() const noexcept { return terminal_; }
  void line(const std::string& text);
  /// Replaces the live line; only on a terminal.
  void live(const std::string& text);
  void clear_live();

  /// The first line of the screen: shown before the next one, whatever that is, and left out where
  /// the command refuses to start before there is one.
  void heading(const std::string& text);
  /// Shows it now, if it has not been shown.
  void show_heading();
  /// Where the heading goes as well; a screen that is to be quiet does without.
  void begin_log(bool quiet, std::function<void(const std::string& heading)> to_file);

 private:
  std::mutex mutex_;
  screen_writer& writer_ = standard_error();
  bool terminal_ = false;
  std::string heading_;
  bool quiet_ = false;
  std::function<void(const std::string&)> to_file_;
};

/// Sends the program's log to the screen, and to a file as well when one is named. Throws
/// fatal_error where that file is not to be written (open_log).
void start_log(screen& shown, bool verbose, bool quiet, const std::string& file);

}  // namespace sluice::cli
