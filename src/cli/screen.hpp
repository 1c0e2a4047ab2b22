#pragma once

#include <mutex>
#include <string>

namespace sluice::cli {

/// Standard error as a person sees it: lines that stay, and below them, on a terminal, one live
/// line that is written over. May be used from any thread.
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

 private:
  void erase();
  void draw();

  std::mutex mutex_;
  bool terminal_ = false;
  std::string live_;
};

/// Sends the program's log to the screen, and to a file as well when one is named.
void start_log(screen& shown, bool verbose, bool quiet, const std::string& file);

}  // namespace sluice::cli
