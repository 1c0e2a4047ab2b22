#pragma once

#include <cstdint>
#include <functional>
#include <list>
#include <map>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "file_system.hpp"
#include "support/manual_clock.hpp"

namespace sluice::simulation {

/// The disk of a simulated machine. What was written is seen at once and safe once it was synced;
/// names are safe once their folder was. The machine can be killed under a process or lose its
/// power at any operation, and the disk can be full or sick for a while. Everything hangs on the
/// seed.
class simulated_files final : public file_system {
 public:
  /// What a disk does wrong on purpose, to show that somebody would notice.
  struct flaws {
    bool forget_syncs = false;         ///< says that it synced, and did not
    bool forget_folder_syncs = false;  ///< the same of folders
  };

  simulated_files(test::manual_clock& clock, std::uint64_t seed);

  std::unique_ptr<file> open(const std::string& path, open_as how, std::error_code& error) override;
  std::error_code rename(const std::string& from, const std::string& to) override;
  std::error_code remove(const std::string& path) override;
  std::error_code sync_folder_of(const std::string& path) override;
  std::error_code make_folders(const std::string& path) override;
  bool exists(const std::string& path) override { return path == folder || names_.contains(path); }
  bool is_folder(const std::string& path) override { return path == folder; }
  bool is_writable_folder(const std::string& path) override { return path == folder; }
  std::string resolved(const std::string& path) override { return path; }
  bool is_at(const file&, const std::string&) override { return true; }
  void run_aside(std::function<void()> slow) override;
  void finish_aside() override;

  static constexpr const char* folder = "/out";

  /// The process dies at its operation number `n` from now on: nothing it does then has an effect.
  void die_at_operation(std::uint64_t n) { die_at_ = operations_ + n; }
  void die() { dead_ = true; }
  bool dead() const noexcept { return dead_; }
  /// A new process begins.
  void revive();
  /// What was not synced is lost, or kept in part. Gives the name of a file of lines that had not
  /// been synced for longer than `patience`: it should have been.
  std::optional<std::string> lose_power(duration patience);
  void set_full(bool full) noexcept { full_ = full; }
  /// The share of syncs that fail.
  void set_sickness(double share) noexcept { sick_ = share; }
  void set_flaws(const flaws& chosen) noexcept { flaws_ = chosen; }
  /// Told of every operation, for traces.
  std::function<void(const std::string&)> watch;

  std::string content(const std::string& path) const;
  std::vector<std::string> paths() const;

 private:
  struct inode {
    std::string bytes;
    std::string durable;
    // When its bytes were written, that are not synced: where they begin, and the time.
    std::vector<std::pair<std::size_t, time_point>> unsynced;
  };
  class open_file;
  using node = std::shared_ptr<inode>;
  // Changes of names that belong together; no node: the name goes.
  using name_change = std::vector<std::pair<std::string, node>>;

  bool operate(const char* what, const std::string& path);
  void change_names(name_change change);
  static void apply(std::map<std::string, node>& names, const name_change& change);
  bool chance(double share) {
    return std::uniform_real_distribution<double>(0, 1)(random_) < share;
  }
  std::size_t pick(std::size_t most) { return random_() % (most + 1); }

  test::manual_clock& clock_;
  std::mt19937_64 random_;
  std::map<std::string, node> names_;
  std::map<std::string, node> durable_names_;
  std::vector<name_change> unsynced_names_;
  std::list<std::pair<clock::timer, std::function<void()>>> aside_;
  std::uint64_t operations_ = 0;
  std::uint64_t die_at_ = 0;
  bool dead_ = false;
  bool half_ = false;  // the operation it died at was done in part
  bool full_ = false;
  double sick_ = 0;
  flaws flaws_;
};

}  // namespace sluice::simulation
