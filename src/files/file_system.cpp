#include "files/file_system.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <condition_variable>
#include <deque>
#include <filesystem>
#include <mutex>
#include <thread>
#include <vector>

#include "base/translated_error.hpp"
#include "files/locks.hpp"
#include "sluice/error.hpp"

namespace sluice {
namespace {

namespace fs = std::filesystem;

std::error_code last_error() {
  return {errno, std::generic_category()};
}

[[noreturn]] void write_failed(const std::string& path, const std::error_code& why) {
  throw translated_error(fatal_error::kind::cannot_write,
                         worded("{}: cannot write results ({}); make room or fix the disk, and "
                                "run the same command again",
                                path, why.message()));
}

// The errors of a file system that does not have the operation.
bool is_unsupported(int error) {
  return error == EINVAL || error == ENOSYS || error == EOPNOTSUPP || error == ENOTSUP;
}

std::string folder_of(const fs::path& path) {
  return path.has_parent_path() ? path.parent_path().string() : ".";
}

// Warns about what a file system cannot do, each once. Thread safe.
class capability_warnings {
 public:
  explicit capability_warnings(std::function<void(const std::string&)> warn)
      : warn_(std::move(warn)) {}

  void no_locks(const fs::path& path) {
    warn_once(locks_, path,
              "has no file locks, so a second run of the same job is not detected: do not start "
              "one");
  }
  void no_sync(const fs::path& path) {
    warn_once(sync_, path,
              "cannot sync files to disk (fsync); the run continues, but a power failure may lose "
              "results");
  }

 private:
  void warn_once(std::atomic_flag& done, const fs::path& path, std::string_view what) {
    if (done.test_and_set() || !warn_) return;
    warn_(fmt::format("{}: this file system {}", folder_of(path), what));
  }

  const std::function<void(const std::string&)> warn_;
  std::atomic_flag sync_;
  std::atomic_flag locks_;
};

class system_file final : public file {
 public:
  system_file(int descriptor, std::string path, std::shared_ptr<capability_warnings> warnings)
      : file_(descriptor), path_(std::move(path)), warnings_(std::move(warnings)) {}
  system_file(const system_file&) = delete;
  system_file& operator=(const system_file&) = delete;
  ~system_file() override { ::close(file_); }

  std::size_t read_at(std::uint64_t offset, char* into, std::size_t size,
                      std::error_code& error) override {
    for (;;) {
      const ssize_t n = ::pread(file_, into, size, static_cast<off_t>(offset));
      if (n >= 0) return static_cast<std::size_t>(n);
      if (errno == EINTR) continue;
      error = last_error();
      return 0;
    }
  }

  std::size_t append(std::string_view bytes, std::error_code& error) override {
    std::size_t written = 0;
    while (written < bytes.size()) {
      const ssize_t n = ::write(file_, bytes.data() + written, bytes.size() - written);
      if (n < 0 && errno == EINTR) continue;
      if (n < 0) {
        error = last_error();
        break;
      }
      written += static_cast<std::size_t>(n);
    }
    return written;
  }

  std::error_code truncate(std::uint64_t size) override {
    return ::ftruncate(file_, static_cast<off_t>(size)) == 0 ? std::error_code() : last_error();
  }

  std::error_code sync() override {
    if (::fdatasync(file_) == 0) return {};
    if (is_unsupported(errno) && ::fsync(file_) == 0) return {};
    if (!is_unsupported(errno)) return last_error();
    warnings_->no_sync(path_);
    return {};
  }

  std::uint64_t size() const override {
    struct stat info {};
    return ::fstat(file_, &info) == 0 ? static_cast<std::uint64_t>(info.st_size) : 0;
  }

  bool is_regular() const override {
    struct stat info {};
    return ::fstat(file_, &info) == 0 && S_ISREG(info.st_mode);
  }

  lock_result lock() override {
    using state = lock_result::state;
    std::optional<lock_holder> holder;
    if (lock_whole(file_, holder)) return {state::ours, 0};
    if (errno == EACCES || errno == EAGAIN) return {state::held, holder ? holder->process : 0};
    warnings_->no_locks(path_);
    return {state::unknown, 0};
  }

  std::error_code reserve(std::uint64_t bytes) override {
    const auto end = static_cast<off_t>(size());
    if (::fallocate(file_, FALLOC_FL_KEEP_SIZE, end, static_cast<off_t>(bytes)) == 0) return {};
    return errno == ENOSPC || errno == EDQUOT ? last_error() : std::error_code();
  }

  bool has_reserve() const override {
    constexpr off_t block = 512;              // the unit of st_blocks on every file system
    constexpr off_t slack = off_t{64} << 10;  // file systems round up and keep block lists
    struct stat info {};
    return ::fstat(file_, &info) == 0 && info.st_blocks * block > info.st_size + slack;
  }

  std::optional<std::string> current_path() const override {
    struct stat info {};
    if (::fstat(file_, &info) != 0 || info.st_nlink == 0) return std::nullopt;
    std::error_code error;
    const fs::path path = fs::read_symlink(fmt::format("/proc/self/fd/{}", file_), error);
    struct stat named {};
    // Linux adds " (deleted)" to a removed name, even if another name of the file remains.
    if (error || ::stat(path.c_str(), &named) != 0 || named.st_ino != info.st_ino ||
        named.st_dev != info.st_dev) {
      return std::nullopt;
    }
    return path.string();
  }

  int descriptor() const noexcept { return file_; }

 private:
  const int file_;
  const std::string path_;
  const std::shared_ptr<capability_warnings> warnings_;
};

// The owner of a file that this process creates in a folder. On some mounts all files have one
// owner.
uid_t owner_of_new_file_in(const std::string& folder) {
  std::string probe = (fs::path(folder) / ".sluice-owner-XXXXXX").string();
  const int made = ::mkostemp(probe.data(), O_CLOEXEC);
  if (made < 0) return ::geteuid();
  struct stat info {};
  const bool has_owner = ::fstat(made, &info) == 0;
  ::unlink(probe.c_str());
  ::close(made);
  return has_owner ? info.st_uid : ::geteuid();
}

// In a folder that every user may write to: an error if another user may have put the file there,
// or if it is a hard link to some other file.
std::error_code untrusted_error(const fs::path& path, const system_file& opened) {
  const std::string place = folder_of(path);
  struct stat folder {};
  if (::stat(place.c_str(), &folder) != 0 || (folder.st_mode & S_IWOTH) == 0) return {};
  struct stat info {};
  if (::fstat(opened.descriptor(), &info) != 0) return last_error();
  if (info.st_nlink > 1) return std::make_error_code(std::errc::too_many_symbolic_link_levels);
  if (info.st_uid == ::geteuid() || info.st_uid == owner_of_new_file_in(place)) return {};
  return std::make_error_code(std::errc::operation_not_permitted);
}

// Whether another user may have planted this link. Stricter than the kernel's protected_symlinks:
// in a folder that every user may write to, no link is trusted.
bool is_untrusted_link(const fs::path& link) {
  struct stat folder {};
  struct stat itself {};
  const fs::path parent = link.parent_path();
  if (::stat(parent.empty() ? "." : parent.c_str(), &folder) != 0) return true;
  if ((folder.st_mode & S_IWOTH) != 0) return true;
  if ((folder.st_mode & S_IWGRP) == 0) return false;
  return ::lstat(link.c_str(), &itself) != 0 || itself.st_uid != ::geteuid();
}

class system_file_system final : public file_system {
 public:
  system_file_system(unsigned mode, std::function<void(const std::string&)> warn)
      : mode_(mode), warnings_(std::make_shared<capability_warnings>(std::move(warn))) {}
  system_file_system(const system_file_system&) = delete;
  system_file_system& operator=(const system_file_system&) = delete;
  ~system_file_system() override {
    {
      const std::lock_guard lock(mutex_);
      ended_ = true;
    }
    wake_.notify_all();
  }

  std::unique_ptr<file> open(const std::string& path, open_as how,
                             std::error_code& error) override {
    int flags = O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK;  // do not wait for the other end of a pipe
    flags |= how == open_as::read_only ? O_RDONLY : O_RDWR | O_APPEND;
    if (how == open_as::created) flags |= O_CREAT | O_EXCL;
    const int opened = ::open(path.c_str(), flags, mode_);
    if (opened < 0) {
      error = last_error();
      return nullptr;
    }
    auto made = std::make_unique<system_file>(opened, path, warnings_);
    if (how != open_as::created) error = untrusted_error(path, *made);
    if (error) return nullptr;
    return made;
  }

  std::error_code rename(const std::string& from, const std::string& to) override {
    return ::rename(from.c_str(), to.c_str()) == 0 ? std::error_code() : last_error();
  }

  std::error_code remove(const std::string& path) override {
    return ::unlink(path.c_str()) == 0 ? std::error_code() : last_error();
  }

  std::error_code sync_folder_of(const std::string& path) override {
    const int opened = ::open(folder_of(path).c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (opened < 0) return last_error();
    const bool done = ::fsync(opened) == 0;
    const std::error_code error = done ? std::error_code() : last_error();
    ::close(opened);
    if (done || !is_unsupported(error.value())) return error;
    warnings_->no_sync(path);
    return {};
  }

  std::error_code make_folders(const std::string& path) override {
    std::error_code error;
    std::vector<fs::path> missing;
    for (fs::path folder = path; !folder.empty() && !fs::exists(folder, error);
         folder = folder.parent_path()) {
      if (error) return error;
      missing.push_back(folder);
    }
    for (; !missing.empty(); missing.pop_back()) {
      if (fs::create_directory(missing.back(), error); error) return error;
      if (error = sync_folder_of(missing.back().string()); error) return error;
    }
    return {};
  }

  bool exists(const std::string& path) override {
    std::error_code unreadable;
    return fs::exists(path, unreadable);
  }

  bool is_folder(const std::string& path) override {
    std::error_code unreadable;
    return fs::is_directory(path, unreadable);
  }

  bool is_writable_folder(const std::string& path) override {
    return ::access(path.c_str(), W_OK | X_OK) == 0 && is_folder(path);
  }

  std::string resolved(const std::string& path) override {
    constexpr int most_links = 40;  // the kernel's own limit
    fs::path target = path;
    std::error_code error;
    for (int i = 0; i < most_links && fs::is_symlink(target, error); ++i) {
      if (is_untrusted_link(target)) break;
      target = target.parent_path() / fs::read_symlink(target, error);
      if (error) return path;
    }
    return target.string();
  }

  bool is_at(const file& opened, const std::string& path) override {
    struct stat open_file {};
    struct stat named {};
    const int descriptor = dynamic_cast<const system_file&>(opened).descriptor();
    return ::fstat(descriptor, &open_file) == 0 && ::stat(path.c_str(), &named) == 0 &&
           open_file.st_dev == named.st_dev && open_file.st_ino == named.st_ino;
  }

  void run_in_background(std::function<void()> slow) override {
    {
      const std::lock_guard lock(mutex_);
      slow_.push_back(std::move(slow));
      if (!thread_.joinable()) thread_ = std::jthread([this] { work(); });
    }
    wake_.notify_all();
  }

  void finish_background() override {
    std::unique_lock lock(mutex_);
    wake_.wait(lock, [&] { return slow_.empty() && !busy_; });
  }

 private:
  void work() {
    std::unique_lock lock(mutex_);
    for (;;) {
      wake_.wait(lock, [&] { return ended_ || !slow_.empty(); });
      if (slow_.empty()) return;
      const auto slow = std::move(slow_.front());
      slow_.pop_front();
      busy_ = true;
      lock.unlock();
      slow();
      lock.lock();
      busy_ = false;
      wake_.notify_all();
    }
  }

  const unsigned mode_;
  const std::shared_ptr<capability_warnings> warnings_;
  std::mutex mutex_;
  std::condition_variable wake_;
  std::deque<std::function<void()>> slow_;
  bool busy_ = false;
  bool ended_ = false;
  std::jthread thread_;  // last member: it ends before the members that it uses are destroyed
};

}  // namespace

std::unique_ptr<file_system> system_files(unsigned mode,
                                          std::function<void(const std::string&)> warn) {
  return std::make_unique<system_file_system>(mode, std::move(warn));
}

std::string open_fault_sentence(const std::string& path, const std::error_code& why) {
  if (why == std::errc::too_many_symbolic_link_levels) {
    return fmt::format(
        "{}: is a broken link, or a link in a folder that every user may write to; choose another "
        "place with --output-dir or -o",
        path);
  }
  if (why == std::errc::operation_not_permitted) {
    return fmt::format(
        "{}: belongs to another user, in a folder that every user may write to; choose another "
        "place with --output-dir or -o",
        path);
  }
  return fmt::format("{}: cannot be read ({}); correct that, then run the same command again", path,
                     why.message());
}

std::string begin_of(file& opened, std::error_code& error, std::size_t longest) {
  std::string begin(longest, '\0');
  std::size_t filled = 0;
  while (filled < longest && !error) {
    const std::size_t n = opened.read_at(filled, begin.data() + filled, longest - filled, error);
    if (n == 0) break;
    filled += n;
  }
  begin.resize(filled);
  return begin;
}

void remove_stale_temporary(file_system& files, const std::string& target,
                            const std::function<bool(std::string_view)>& is_ours) {
  const std::string path = target + std::string(temporary_ending);
  std::error_code error;
  const auto stale = files.open(path, file_system::open_as::read_only, error);
  if (!stale || !stale->is_regular()) return;
  if (!is_ours(begin_of(*stale, error)) || error) return;
  (void)files.remove(path);
}

std::unique_ptr<file> create_temporary_for(file_system& files, const std::string& target,
                                           const std::function<bool(std::string_view)>& is_ours,
                                           std::string& path, std::error_code& error) {
  constexpr int most_names = 100;
  remove_stale_temporary(files, target, is_ours);
  for (int n = 0; n < most_names; ++n) {
    path = target + std::string(temporary_ending);
    if (n > 0) path += fmt::format("-{}", n);
    error = {};
    auto made = files.open(path, file_system::open_as::created, error);
    if (made || error != std::errc::file_exists) return made;
  }
  return nullptr;
}

void replace_file(file_system& files, const std::string& path, std::string_view content,
                  const std::function<bool(std::string_view)>& is_ours) {
  const std::string target = files.resolved(path);
  std::error_code error;
  std::string temporary;
  {
    const auto opened = create_temporary_for(files, target, is_ours, temporary, error);
    if (!opened) write_failed(path, error);
    opened->append(content, error);
    if (!error) error = opened->sync();
  }
  if (!error) error = files.rename(temporary, target);
  if (!error) error = files.sync_folder_of(target);
  if (!error) return;
  (void)files.remove(temporary);
  write_failed(path, error);
}

std::optional<std::string> read_file(file_system& files, const std::string& path) {
  std::error_code error;
  const auto opened = files.open(files.resolved(path), file_system::open_as::read_only, error);
  if (error == std::errc::no_such_file_or_directory) return std::nullopt;
  std::string content;
  if (opened) {
    content.resize(opened->size());
    content.resize(opened->read_at(0, content.data(), content.size(), error));
  }
  if (!error) return content;
  throw fatal_error(fatal_error::kind::cannot_start, open_fault_sentence(path, error));
}

}  // namespace sluice
