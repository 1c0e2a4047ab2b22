#pragma once

#include <atomic>
#include <functional>
#include <mutex>
#include <optional>
#include <string>

#include "base/language.hpp"
#include "cli/screen/screen_choices.hpp"
#include "terminal/screen_writer.hpp"
#include "views/fitted_line.hpp"

namespace sluice::cli {

/// Standard error as people see it. Safe to use from any thread. Shows lines and, on a terminal,
/// one live line below them that is overwritten. Never waits for the terminal.
class screen {
 public:
  screen();
  ~screen();
  screen(const screen&) = delete;
  screen& operator=(const screen&) = delete;

  bool is_terminal() const noexcept { return terminal_ && !json_; }
  /// The format of a line that is shown now. `live`: the line is the live line, whose width is
  /// limited.
  line_form form(bool live) const;
  void choose_colour(colour_choice chosen);
  /// Sets the language; nullopt: the language of the environment.
  void choose_language(std::optional<language> chosen);
  language spoken() const noexcept { return spoken_; }
  void line(const std::string& text);
  /// Shows a line without changing it.
  void finished_line(const std::string& text);
  /// Replaces the live line. Does nothing if this is not a terminal. The text must be safe to show
  /// on a terminal, and may have colours.
  void live(const std::string& text);
  void clear_live();

  /// Sets the first line of the screen. It is shown before the next line. If the command ends with
  /// an error before the first line, it is never shown.
  void heading(const std::string& text);
  /// Shows the heading now, unless it was shown before.
  void show_heading();
  /// Writes a line only to the log file.
  void log_line(const std::string& text);
  /// Reports once that a line could not be written to the log file. A quiet screen reports this at
  /// the end. If an error ends the command, the quiet screen shows only that error.
  void log_has_gap(const std::string& sentence);
  /// Also sends the heading to the log file. A quiet screen does not show it.
  void begin_log(bool quiet, std::function<void(const std::string& heading)> to_file);

 private:
  void begin_json();
  friend void start_log(screen&, bool, bool, const std::string&, bool);

  std::mutex mutex_;
  screen_writer& writer_ = standard_error();
  bool terminal_ = false;
  std::string heading_;
  bool quiet_ = false;
  bool log_has_gap_ = false;
  std::string late_gap_;
  bool colour_ = false;
  language spoken_ = language::english;
  std::atomic<bool> json_ = false;
  std::function<void(const std::string&)> to_file_;
};

/// Sends the log of the program to the screen, and also to `file` unless that is empty. Throws
/// fatal_error if the file must not be written (open_log). `json`: from now on, every line on
/// standard error and in the file is a JSON object, including the lines of screen::line() and
/// standard_error().
void start_log(screen& shown, bool verbose, bool quiet, const std::string& file, bool json = false);

}  // namespace sluice::cli
