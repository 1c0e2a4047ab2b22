#include "simulated_files.hpp"

#include <algorithm>
#include <cstring>
#include <utility>

namespace sluice::simulation {
namespace {

std::error_code fault(std::errc what) {
  return std::make_error_code(what);
}

std::string_view short_name(std::string_view path) {
  return path.substr(path.rfind('/') + 1);
}

}  // namespace

struct simulated_files::open_file final : file {
  open_file(simulated_files& from, std::string at, std::shared_ptr<inode> opened)
      : disk(from), path(std::move(at)), node(std::move(opened)) {}

  std::size_t read_at(std::uint64_t offset, char* into, std::size_t size,
                      std::error_code& /*error*/) override {
    if (disk.dead_ || offset >= node->content.size()) return 0;
    const std::size_t n = std::min<std::size_t>(size, node->content.size() - offset);
    std::memcpy(into, node->content.data() + offset, n);
    return n;
  }

  std::size_t append(std::string_view bytes, std::error_code& error) override {
    if (disk.dead_) return bytes.size();
    std::size_t written = bytes.size();
    const bool whole = disk.begin("append", path);
    if (!whole) {  // the process dies during this operation
      written = disk.random_.below(bytes.size() + 1);
    } else if (disk.full()) {
      written = disk.random_.below(bytes.size());
      error = fault(std::errc::no_space_on_device);
      disk.failed_ = true;
    }
    node->content += bytes.substr(0, written);
    node->written.emplace_back(disk.time_.now(), node->content.size());
    disk.trace_.note("  {} of {} bytes, {} in all", written, bytes.size(), node->content.size());
    return whole ? written : bytes.size();
  }

  std::error_code truncate(std::uint64_t size) override {
    if (disk.dead_ || !disk.begin("truncate", path)) return {};
    node->content.resize(size);
    while (!node->written.empty() && node->written.back().second > size) node->written.pop_back();
    return {};
  }

  std::error_code sync() override {
    if (disk.dead_ || !disk.begin("sync", path)) return {};
    if (disk.operations_ >= disk.faults_.no_sync_at) {
      disk.faults_.no_sync_at = disk_faults::never;
      disk.failed_ = true;
      node->is_lost = true;
      disk.trace_.note("  input/output error");
      return fault(std::errc::io_error);
    }
    if (!node->is_lost) node->durable = node->content;
    return {};
  }

  std::uint64_t size() const override { return disk.dead_ ? 0 : node->content.size(); }
  bool is_regular() const override { return true; }
  lock_result lock() override { return {}; }
  // Reserves nothing: a full disk rejects the next append.
  std::error_code reserve(std::uint64_t /*bytes*/) override { return {}; }
  std::optional<std::string> current_path() const override { return path; }

  simulated_files& disk;
  const std::string path;
  const std::shared_ptr<inode> node;
};

void simulated_files::boot(const disk_faults& faults) {
  faults_ = faults;
  operations_ = 0;
  dead_ = failed_ = false;
  for (auto& [path, node] : now_) node->is_lost = false;
}

void simulated_files::die() {
  if (std::exchange(dead_, true)) return;
  trace_.note("the process dies");
  if (on_death) on_death();
}

// Counts an operation that changes something. Returns false if the process dies before the
// operation is done.
bool simulated_files::begin(const char* what, const std::string& path) {
  ++operations_;
  trace_.note("{} {}", what, short_name(path));
  if (operations_ < faults_.crash_at) return true;
  die();
  return false;
}

bool simulated_files::full() const noexcept {
  return operations_ >= faults_.full_from && operations_ - faults_.full_from < faults_.full_for;
}

void simulated_files::keep_names() {
  if (unsynced_.empty()) unsynced_.push_back(now_);
}

void simulated_files::lose_power() {
  trace_.note("the power fails");
  if (!unsynced_.empty()) {
    // The changes reach the disk in order, up to a random one of the unsynced changes.
    now_ = unsynced_[random_.below(unsynced_.size())];
    unsynced_.clear();
  }
  for (auto& [path, node] : now_) {
    const bool appended = node->content.starts_with(node->durable);
    if (appended) {
      const std::size_t extra = node->content.size() - node->durable.size();
      // In most cases all or none of the unsynced bytes survive, sometimes a part of them.
      const std::size_t kept = random_.percent(50)   ? 0
                               : random_.percent(30) ? extra
                                                     : random_.below(extra + 1);
      node->content.resize(node->durable.size() + kept);
    } else if (random_.percent(50)) {
      node->content = node->durable;
    }
    node->durable = node->content;
    while (!node->written.empty() && node->written.back().second > node->content.size())
      node->written.pop_back();
    trace_.note("  {}: {} bytes remain", short_name(path), node->content.size());
  }
}

std::optional<std::string> simulated_files::content(const std::string& path) const {
  const auto found = now_.find(path);
  if (found == now_.end()) return std::nullopt;
  return found->second->content;
}

std::size_t simulated_files::written_before(const std::string& path, time_point when) const {
  const auto found = now_.find(path);
  if (found == now_.end()) return 0;
  std::size_t size = 0;
  for (const auto& [at, length] : found->second->written) {
    if (at < when) size = std::max(size, length);
  }
  return size;
}

std::unique_ptr<file> simulated_files::open(const std::string& path, open_as how,
                                            std::error_code& error) {
  if (dead_) {
    error = fault(std::errc::io_error);
    return nullptr;
  }
  const auto found = now_.find(path);
  const bool there = found != now_.end();
  if (!there && how != open_as::created) {
    error = fault(std::errc::no_such_file_or_directory);
    return nullptr;
  }
  if (how == open_as::read_only) return std::make_unique<open_file>(*this, path, found->second);
  if (there && how == open_as::created) {
    error = fault(std::errc::file_exists);
    return nullptr;
  }
  if (!begin(how == open_as::existing ? "open" : "create", path)) {
    error = fault(std::errc::io_error);
    return nullptr;
  }
  if (operations_ >= faults_.no_handle_at) {
    faults_.no_handle_at = disk_faults::never;
    failed_ = true;
    trace_.note("  too many open files");
    error = fault(std::errc::too_many_files_open);
    return nullptr;
  }
  if (!there) {
    keep_names();
    now_[path] = std::make_shared<inode>();
    unsynced_.push_back(now_);
  }
  return std::make_unique<open_file>(*this, path, now_[path]);
}

std::error_code simulated_files::rename(const std::string& from, const std::string& to) {
  if (dead_) return {};
  const bool whole = begin("rename to", to);
  if (!whole && random_.percent(50)) return {};
  const auto found = now_.find(from);
  if (found == now_.end()) return fault(std::errc::no_such_file_or_directory);
  keep_names();
  now_[to] = found->second;
  now_.erase(from);
  unsynced_.push_back(now_);
  return {};
}

std::error_code simulated_files::remove(const std::string& path) {
  if (dead_) return {};
  if (!now_.contains(path)) return fault(std::errc::no_such_file_or_directory);
  const bool whole = begin("remove", path);
  if (!whole && random_.percent(50)) return {};
  keep_names();
  now_.erase(path);
  unsynced_.push_back(now_);
  return {};
}

std::error_code simulated_files::sync_folder_of(const std::string& path) {
  if (dead_ || !begin("sync folder of", path)) return {};
  unsynced_.clear();
  return {};
}

std::error_code simulated_files::make_folders(const std::string& /*path*/) {
  return {};
}

bool simulated_files::exists(const std::string& path) {
  return !dead_ && (is_folder(path) || now_.contains(path));
}

bool simulated_files::is_folder(const std::string& path) {
  return path == "/" || path == "/out";
}

bool simulated_files::is_writable_folder(const std::string& path) {
  return is_folder(path);
}

bool simulated_files::is_at(const file& opened, const std::string& path) {
  if (dead_) return true;
  const auto found = now_.find(path);
  return found != now_.end() && found->second == dynamic_cast<const open_file&>(opened).node;
}

void simulated_files::run_in_background(std::function<void()> slow) {
  aside_.push_back(std::move(slow));
  if (aside_timer_ != 0) return;
  aside_timer_ =
      time_.call_at(time_.now() + random_.span(std::chrono::milliseconds{0}, longest_aside),
                    [this] { next_aside(); });
}

void simulated_files::next_aside() {
  aside_timer_ = 0;
  const auto slow = std::move(aside_.front());
  aside_.pop_front();
  slow();
  if (aside_.empty() || aside_timer_ != 0) return;
  aside_timer_ =
      time_.call_at(time_.now() + random_.span(std::chrono::milliseconds{0}, longest_aside),
                    [this] { next_aside(); });
}

void simulated_files::finish_background() {
  if (aside_timer_ != 0) time_.cancel(std::exchange(aside_timer_, 0));
  while (!aside_.empty()) {
    const auto slow = std::move(aside_.front());
    aside_.pop_front();
    slow();
  }
}

}  // namespace sluice::simulation
