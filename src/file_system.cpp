#include "file_system.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <condition_variable>
#include <deque>
#include <filesystem>
#include <mutex>
#include <thread>

#include "sluice/error.hpp"

namespace sluice {
namespace {

namespace fs = std::filesystem;

std::error_code last_error() {
  return {errno, std::generic_category()};
}

[[noreturn]] void write_failed(const std::string& path, const std::error_code& why) {
  throw fatal_error(fatal_error::kind::cannot_write,
                    fmt::format("{}: cannot write results ({}); make room or mend the disk, and "
                                "run the same command again",
                                path, why.message()));
}

class system_file final : public file {
 public:
  explicit system_file(int descriptor) : file_(descriptor) {}
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

  // What cannot be synced, a file on a file system without a disk, cannot be lost by one either.
  std::error_code sync() override {
    if (::fdatasync(file_) == 0 || errno == EINVAL || errno == EROFS) return {};
    return last_error();
  }

  std::uint64_t size() const override {
    struct stat info {};
    return ::fstat(file_, &info) == 0 ? static_cast<std::uint64_t>(info.st_size) : 0;
  }

  bool is_regular() const override {
    struct stat info {};
    return ::fstat(file_, &info) == 0 && S_ISREG(info.st_mode);
  }

  std::optional<long> lock() override {
    struct flock whole {};
    whole.l_type = F_WRLCK;
    whole.l_whence = SEEK_SET;
    if (::fcntl(file_, F_SETLK, &whole) == 0) return std::nullopt;
    if (errno != EACCES && errno != EAGAIN) return std::nullopt;  // no locks here
    struct flock holder = whole;
    ::fcntl(file_, F_GETLK, &holder);
    return holder.l_pid;
  }

  int descriptor() const noexcept { return file_; }

 private:
  const int file_;
};

class system_file_system final : public file_system {
 public:
  explicit system_file_system(unsigned mode) : mode_(mode) {}
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
    int flags = O_RDWR | O_APPEND | O_CLOEXEC;
    if (how == open_as::created) flags |= O_CREAT | O_EXCL;
    if (how == open_as::replaced) flags |= O_CREAT | O_TRUNC;
    const int opened = ::open(path.c_str(), flags, mode_);
    if (opened >= 0) return std::make_unique<system_file>(opened);
    error = last_error();
    return nullptr;
  }

  std::error_code rename(const std::string& from, const std::string& to) override {
    return ::rename(from.c_str(), to.c_str()) == 0 ? std::error_code() : last_error();
  }

  std::error_code remove(const std::string& path) override {
    return ::unlink(path.c_str()) == 0 ? std::error_code() : last_error();
  }

  std::error_code sync_folder_of(const std::string& path) override {
    const std::string folder = fs::path(path).parent_path().string();
    const int opened =
        ::open(folder.empty() ? "." : folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (opened < 0) return last_error();
    const bool done = ::fsync(opened) == 0 || errno == EINVAL || errno == EROFS;
    const std::error_code error = done ? std::error_code() : last_error();
    ::close(opened);
    return error;
  }

  std::error_code make_folders(const std::string& path) override {
    std::error_code error;
    fs::create_directories(path, error);
    return error;
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
    constexpr int most_links = 40;  // as the kernel follows
    fs::path behind = path;
    std::error_code error;
    for (int i = 0; i < most_links && fs::is_symlink(behind, error); ++i) {
      behind = behind.parent_path() / fs::read_symlink(behind, error);
      if (error) return path;
    }
    return behind.string();
  }

  bool is_at(const file& opened, const std::string& path) override {
    struct stat held {};
    struct stat named {};
    const int descriptor = dynamic_cast<const system_file&>(opened).descriptor();
    return ::fstat(descriptor, &held) == 0 && ::stat(path.c_str(), &named) == 0 &&
           held.st_dev == named.st_dev && held.st_ino == named.st_ino;
  }

  void run_aside(std::function<void()> slow) override {
    {
      const std::lock_guard lock(mutex_);
      slow_.push_back(std::move(slow));
      if (!thread_.joinable()) thread_ = std::jthread([this] { work(); });
    }
    wake_.notify_all();
  }

  void finish_aside() override {
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
  std::mutex mutex_;
  std::condition_variable wake_;
  std::deque<std::function<void()>> slow_;
  bool busy_ = false;
  bool ended_ = false;
  std::jthread thread_;  // last: it ends before what it uses goes
};

}  // namespace

std::unique_ptr<file_system> system_files(unsigned mode) {
  return std::make_unique<system_file_system>(mode);
}

void replace_file(file_system& files, const std::string& path, std::string_view content) {
  const std::string target = files.resolved(path);
  const std::string fresh = target + ".new";
  std::error_code error;
  {
    const auto opened = files.open(fresh, file_system::open_as::replaced, error);
    if (!opened) write_failed(path, error);
    opened->append(content, error);
    if (!error) error = opened->sync();
  }
  if (!error) error = files.rename(fresh, target);
  if (!error) return;
  (void)files.remove(fresh);
  write_failed(path, error);
}

std::optional<std::string> read_file(file_system& files, const std::string& path) {
  std::error_code ignored;
  return read_file(files, path, ignored);
}

std::optional<std::string> read_file(file_system& files, const std::string& path,
                                     std::error_code& error) {
  const auto opened = files.open(path, file_system::open_as::existing, error);
  if (error == std::errc::no_such_file_or_directory) error.clear();
  if (!opened || !opened->is_regular()) return std::nullopt;
  std::string content(opened->size(), '\0');
  const std::size_t read = opened->read_at(0, content.data(), content.size(), error);
  if (error) return std::nullopt;
  content.resize(read);
  return content;
}

}  // namespace sluice
