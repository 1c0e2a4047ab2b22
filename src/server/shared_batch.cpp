#include "server/shared_batch.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <iterator>
#include <utility>

namespace sluice::server {
namespace {

namespace fs = std::filesystem;
using kind = store::file_change::kind;
using store::store_error;

std::string name_of(const std::string& path) {
  return fs::path(path).filename().string();
}

std::error_code lost_claim() {
  return std::make_error_code(std::errc::operation_canceled);
}

void require(const std::error_code& error, const std::string& path) {
  if (error) {
    throw store_error(fmt::format("{}: cannot be written: {}", path, error.message()),
                      error == std::errc::no_space_on_device);
  }
}

}  // namespace

// A file of the copy that reports its changes to the owner.
class shared_batch::shared_file final : public file {
 public:
  shared_file(shared_batch& owner, std::int64_t number, std::unique_ptr<file> copy)
      : owner_(owner), number_(number), copy_(std::move(copy)) {}

  std::size_t read_at(std::uint64_t offset, char* into, std::size_t size,
                      std::error_code& error) override {
    return copy_->read_at(offset, into, size, error);
  }
  std::size_t append(std::string_view bytes, std::error_code& error) override {
    if (owner_.is_lost()) {
      error = lost_claim();
      return 0;
    }
    const std::uint64_t position = copy_->size();
    const std::size_t written = copy_->append(bytes, error);
    if (written > 0) {
      owner_.change({kind::append, number_, position, std::string(bytes.substr(0, written)), {}});
    }
    return written;
  }
  std::error_code truncate(std::uint64_t size) override {
    if (owner_.is_lost()) return lost_claim();
    const bool shorter = size < copy_->size();
    const std::error_code error = copy_->truncate(size);
    if (!error && shorter) owner_.change({kind::truncate, number_, size, {}, {}});
    return error;
  }
  std::error_code sync() override { return owner_.wait_for_store(); }
  bool keeps_unsynced() const override { return true; }
  std::uint64_t size() const override { return copy_->size(); }
  bool is_regular() const override { return copy_->is_regular(); }
  lock_result lock() override { return copy_->lock(); }
  std::error_code reserve(std::uint64_t bytes) override { return copy_->reserve(bytes); }
  bool has_reserve() const override { return copy_->has_reserve(); }
  std::optional<std::string> current_path() const override { return copy_->current_path(); }

  const file& copy() const noexcept { return *copy_; }

 private:
  shared_batch& owner_;
  const std::int64_t number_;
  std::unique_ptr<file> copy_;
};

shared_batch::shared_batch(store::shared_files& shared, store::claim held, std::string folder,
                           std::string_view input, options how)
    : shared_(shared),
      held_(std::move(held)),
      folder_(std::move(folder)),
      options_(how),
      copy_(system_files()) {
  restore(input);
  thread_ = std::thread([this] { work(); });
}

shared_batch::~shared_batch() {
  copy_->finish_background();
  {
    const std::lock_guard lock(guard_);
    ending_ = true;
  }
  woken_.notify_all();
  thread_.join();
}

void shared_batch::restore(std::string_view input) {
  require(copy_->make_folders(folder_), folder_);
  std::error_code error;
  for (fs::directory_iterator entry(folder_, error), end; !error && entry != end;
       entry.increment(error)) {
    if (entry->path().filename() == input) continue;
    std::error_code fault;
    fs::remove_all(entry->path(), fault);
    require(fault, entry->path().string());
  }
  require(error, folder_);
  for (const auto& stored : shared_.files_of(held_.batch)) {
    const std::string path = folder_ + "/" + stored.name;
    const auto made = copy_->open(path, open_as::created, error);
    require(error, path);
    shared_.read(held_.batch, stored.number, [&](std::string_view piece) {
      std::error_code fault;
      made->append(piece, fault);
      require(fault, path);
    });
    numbers_[stored.name] = stored.number;
    last_number_ = std::max(last_number_, stored.number);
  }
}

bool shared_batch::is_lost() {
  const std::lock_guard lock(guard_);
  return lost_;
}

std::unique_ptr<file> shared_batch::open(const std::string& path, open_as how,
                                         std::error_code& error) {
  auto opened = copy_->open(path, how, error);
  if (!opened) return nullptr;
  const std::string name = name_of(copy_->resolved(path));
  std::int64_t number = 0;
  {
    const std::lock_guard lock(guard_);
    const auto found = numbers_.find(name);
    if (how == open_as::created || (found == numbers_.end() && how == open_as::existing)) {
      number = ++last_number_;
      numbers_[name] = number;
    } else if (found != numbers_.end()) {
      return std::make_unique<shared_file>(*this, found->second, std::move(opened));
    } else {
      return opened;  // the input, which is never written
    }
  }
  change({kind::create, number, 0, {}, name});
  return std::make_unique<shared_file>(*this, number, std::move(opened));
}

std::error_code shared_batch::rename(const std::string& from, const std::string& to) {
  if (is_lost()) return lost_claim();
  if (const auto error = copy_->rename(from, to)) return error;
  std::int64_t number = 0;
  {
    const std::lock_guard lock(guard_);
    const auto found = numbers_.find(name_of(from));
    if (found == numbers_.end()) return {};
    number = found->second;
    numbers_.erase(found);
    numbers_[name_of(to)] = number;
  }
  change({kind::rename, number, 0, {}, name_of(to)});
  return {};
}

std::error_code shared_batch::remove(const std::string& path) {
  if (is_lost()) return lost_claim();
  if (const auto error = copy_->remove(path)) return error;
  std::int64_t number = 0;
  {
    const std::lock_guard lock(guard_);
    const auto found = numbers_.find(name_of(path));
    if (found == numbers_.end()) return {};
    number = found->second;
    numbers_.erase(found);
  }
  change({kind::remove, number, 0, {}, {}});
  return {};
}

std::error_code shared_batch::sync_folder_of(const std::string& /*path*/) {
  return wait_for_store();
}

std::error_code shared_batch::make_folders(const std::string& path) {
  return copy_->make_folders(path);
}

bool shared_batch::is_at(const file& opened, const std::string& path) {
  const auto* const mine = dynamic_cast<const shared_file*>(&opened);
  return copy_->is_at(mine == nullptr ? opened : mine->copy(), path);
}

void shared_batch::change(store::file_change what) {
  {
    const std::lock_guard lock(guard_);
    pending_.push_back(std::move(what));
    ++written_;
  }
  woken_.notify_all();
}

std::error_code shared_batch::wait_for_store() {
  std::unique_lock lock(guard_);
  const std::uint64_t wanted = written_;
  ++waiting_;
  woken_.notify_all();
  const bool answered =
      woken_.wait_for(lock, options_.patience, [&] { return lost_ || stored_ >= wanted; });
  --waiting_;
  if (lost_) return lost_claim();
  if (answered) return {};
  return fault_ ? fault_ : std::make_error_code(std::errc::timed_out);
}

// The function of the thread that stores the changes.
void shared_batch::work() {
  std::unique_lock lock(guard_);
  for (;;) {
    woken_.wait(lock, [this] { return ending_ || (!lost_ && !pending_.empty()); });
    if (pending_.empty() || lost_) return;
    // Waits a moment, to store the next changes together with these.
    woken_.wait_for(lock, options_.collect, [this] { return ending_ || waiting_ > 0; });
    lock.unlock();
    const bool done = store_some();
    lock.lock();
    woken_.notify_all();
    if (done) continue;
    if (ending_) return;
    woken_.wait_for(lock, options_.pause, [this] { return ending_; });
  }
}

// Returns false if the store could not be used; the changes are then still pending.
bool shared_batch::store_some() {
  std::vector<store::file_change> some;
  {
    const std::lock_guard lock(guard_);
    some.swap(pending_);
  }
  std::error_code fault;
  bool held = true;
  try {
    held = shared_.write(held_, some);
  } catch (const store_error& why) {
    fault = std::make_error_code(why.full() ? std::errc::no_space_on_device : std::errc::io_error);
  }
  const std::lock_guard lock(guard_);
  fault_ = fault;
  if (!fault) {
    stored_ += some.size();
    lost_ = !held;
    return true;
  }
  pending_.insert(pending_.begin(), std::make_move_iterator(some.begin()),
                  std::make_move_iterator(some.end()));
  return false;
}

}  // namespace sluice::server
