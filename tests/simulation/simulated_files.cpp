#include "simulation/simulated_files.hpp"

#include <algorithm>
#include <iterator>

namespace sluice::simulation {
namespace {

std::error_code failed(std::errc why) {
  return std::make_error_code(why);
}

}  // namespace

class simulated_files::open_file final : public file {
 public:
  open_file(simulated_files& disk, std::string path, node opened)
      : disk_(disk), path_(std::move(path)), node_(std::move(opened)) {}

  std::size_t read_at(std::uint64_t offset, char* into, std::size_t size,
                      std::error_code& error) override {
    if (disk_.dead_) {
      error = failed(std::errc::io_error);
      return 0;
    }
    const std::size_t begin = std::min<std::size_t>(offset, node_->bytes.size());
    const std::size_t n = std::min(size, node_->bytes.size() - begin);
    std::copy_n(node_->bytes.data() + begin, n, into);
    return n;
  }

  std::size_t append(std::string_view bytes, std::error_code& error) override {
    std::size_t fits = bytes.size();
    if (!disk_.operate("append", path_)) {
      error = failed(std::errc::io_error);
      fits = std::exchange(disk_.half_, false) ? disk_.pick(bytes.size()) : 0;
    } else if (disk_.full_) {
      error = failed(std::errc::no_space_on_device);
      fits = disk_.pick(bytes.size() - 1);
    }
    if (fits == 0) return 0;
    node_->unsynced.emplace_back(node_->bytes.size(), disk_.clock_.now());
    node_->bytes.append(bytes.substr(0, fits));
    return fits;
  }

  std::error_code truncate(std::uint64_t size) override {
    if (!disk_.operate("truncate", path_)) return failed(std::errc::io_error);
    node_->bytes.resize(size);
    return {};
  }

  std::error_code sync() override {
    if (!disk_.operate("sync", path_)) return failed(std::errc::io_error);
    if (disk_.chance(disk_.sick_)) return failed(std::errc::io_error);
    if (disk_.flaws_.forget_syncs) return {};
    node_->durable = node_->bytes;
    node_->unsynced.clear();
    return {};
  }

  std::uint64_t size() const override { return node_->bytes.size(); }
  bool is_regular() const override { return true; }
  std::optional<long> lock() override { return std::nullopt; }

 private:
  simulated_files& disk_;
  const std::string path_;
  const node node_;
};

simulated_files::simulated_files(test::manual_clock& clock, std::uint64_t seed)
    : clock_(clock), random_(seed) {}

// False: the process is dead, or died of this.
bool simulated_files::operate(const char* what, const std::string& path) {
  if (dead_) return false;
  if (watch) watch(what + (" " + path));
  if (++operations_ != die_at_) return true;
  dead_ = true;
  half_ = chance(0.5);
  return false;
}

void simulated_files::apply(std::map<std::string, node>& names, const name_change& change) {
  for (const auto& [name, target] : change) {
    if (target) {
      names[name] = target;
    } else {
      names.erase(name);
    }
  }
}

void simulated_files::change_names(name_change change) {
  apply(names_, change);
  unsynced_names_.push_back(std::move(change));
}

std::unique_ptr<file> simulated_files::open(const std::string& path, open_as how,
                                            std::error_code& error) {
  const auto found = names_.find(path);
  const bool there = found != names_.end();
  if (how == open_as::existing) {
    if (dead_)
      error = failed(std::errc::io_error);
    else if (!there)
      error = failed(std::errc::no_such_file_or_directory);
    if (error) return nullptr;
    return std::make_unique<open_file>(*this, path, found->second);
  }
  if (there && how == open_as::created) {
    error = failed(std::errc::file_exists);
    return nullptr;
  }
  if (!operate("create", path)) {
    error = failed(std::errc::io_error);
  } else if (full_ && !there) {
    error = failed(std::errc::no_space_on_device);
  }
  if (error) return nullptr;
  if (there) {
    found->second->bytes.clear();
    return std::make_unique<open_file>(*this, path, found->second);
  }
  auto fresh = std::make_shared<inode>();
  change_names({{path, fresh}});
  return std::make_unique<open_file>(*this, path, fresh);
}

std::error_code simulated_files::rename(const std::string& from, const std::string& to) {
  const bool alive = operate("rename", to);
  if (!alive && !std::exchange(half_, false)) return failed(std::errc::io_error);
  const auto found = names_.find(from);
  if (found == names_.end()) return failed(std::errc::no_such_file_or_directory);
  change_names({{to, found->second}, {from, nullptr}});
  return alive ? std::error_code() : failed(std::errc::io_error);
}

std::error_code simulated_files::remove(const std::string& path) {
  if (!names_.contains(path)) return failed(std::errc::no_such_file_or_directory);
  const bool alive = operate("remove", path);
  if (!alive && !std::exchange(half_, false)) return failed(std::errc::io_error);
  change_names({{path, nullptr}});
  return {};
}

std::error_code simulated_files::sync_folder_of(const std::string& path) {
  if (!operate("sync folder of", path)) return failed(std::errc::io_error);
  if (flaws_.forget_folder_syncs) return {};
  durable_names_ = names_;
  unsynced_names_.clear();
  return {};
}

std::error_code simulated_files::make_folders(const std::string&) {
  return {};
}

void simulated_files::run_aside(std::function<void()> slow) {
  const auto place = aside_.emplace(aside_.end(), 0, std::move(slow));
  const duration delay = std::chrono::microseconds{100 + pick(20'000)};
  place->first = clock_.call_at(clock_.now() + delay, [this, place] {
    // In their order: those before it are due as well.
    for (bool last = false; !last;) {
      last = aside_.begin() == place;
      const auto slow_one = std::move(aside_.front().second);
      if (!last) clock_.cancel(aside_.front().first);
      aside_.pop_front();
      slow_one();
    }
  });
}

void simulated_files::finish_aside() {
  while (!aside_.empty()) {
    clock_.cancel(aside_.front().first);
    const auto slow = std::move(aside_.front().second);
    aside_.pop_front();
    slow();
  }
}

void simulated_files::revive() {
  dead_ = half_ = false;
  die_at_ = 0;
}

std::optional<std::string> simulated_files::lose_power(duration patience) {
  std::optional<std::string> late;
  for (const auto& [name, target] : names_) {
    if (!name.ends_with(".jsonl") || target->unsynced.empty()) continue;
    if (clock_.now() - target->unsynced.front().second > patience) late = name;
  }
  const std::size_t kept = pick(unsynced_names_.size());
  for (std::size_t i = 0; i < kept; ++i) apply(durable_names_, unsynced_names_[i]);
  names_ = durable_names_;
  unsynced_names_.clear();
  for (const auto& [name, target] : names_) {
    auto& [bytes, durable, unsynced] = *target;
    if (bytes.starts_with(durable)) {
      bytes.resize(durable.size() + pick(bytes.size() - durable.size()));
    } else {
      bytes = durable;
    }
    durable = bytes;
    unsynced.clear();
  }
  return late;
}

std::string simulated_files::content(const std::string& path) const {
  const auto found = names_.find(path);
  return found == names_.end() ? std::string() : found->second->bytes;
}

std::vector<std::string> simulated_files::paths() const {
  std::vector<std::string> all;
  std::transform(names_.begin(), names_.end(), std::back_inserter(all),
                 [](const auto& one) { return one.first; });
  return all;
}

}  // namespace sluice::simulation
