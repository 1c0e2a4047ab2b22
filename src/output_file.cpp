#include "output_file.hpp"

#include <fmt/format.h>

#include <cstring>
#include <utility>
#include <vector>

#include "sluice/error.hpp"

namespace sluice {
namespace {

[[noreturn]] void refuse(const std::string& path, std::string_view what) {
  throw fatal_error(fatal_error::kind::cannot_start, fmt::format("{}: {}", path, what));
}

[[noreturn]] void write_failed(const std::string& path, const std::error_code& why) {
  throw fatal_error(fatal_error::kind::cannot_write,
                    fmt::format("{}: cannot write results ({}); make room or mend the disk, and "
                                "run the same command again",
                                path, why.message()));
}

}  // namespace

bool output_file::open_existing() {
  std::error_code error;
  do {
    file_ = files_.open(files_.resolved(path_), file_system::open_as::existing, error);
    if (!file_) {
      if (error == std::errc::no_such_file_or_directory) return false;
      refuse(path_,
             fmt::format("cannot open it to write ({}); choose another place with --output-dir",
                         error.message()));
    }
    if (!file_->is_regular())
      refuse(path_, "is not a regular file; choose another place with --output-dir");
    lock();
  } while (!files_.is_at(*file_, path_));  // replaced between the opening and the lock
  size_ = file_->size();
  dirty_.store(size_ > 0);  // it may have been killed before what it wrote reached the disk
  return true;
}

void output_file::create() {
  std::error_code error;
  file_ = files_.open(files_.resolved(path_), file_system::open_as::created, error);
  if (!file_ && error == std::errc::file_exists && open_existing()) {  // which tells who holds it
    close();
    refuse(path_, "another run has made it meanwhile; run the same command again");
  }
  if (!file_) {
    refuse(path_, fmt::format("cannot create it ({}); choose another place with --output-dir",
                              error.message()));
  }
  lock();
  size_ = 0;
}

// A lock of the process, which ends with it however it ends, and tells who holds it.
void output_file::lock() {
  const auto holder = file_->lock();
  if (!holder) return;
  close();
  const std::string who = *holder > 0 ? fmt::format("process {}", *holder) : "on another machine";
  refuse(path_, fmt::format("another run, {}, is writing it; wait for it, or stop it first", who));
}

void output_file::for_each_line(
    const std::function<void(std::string_view, std::uint64_t, bool)>& visit) const {
  std::vector<char> buffer(std::size_t{1}
                           << (size_ < 60'000 ? 16U : 20U));  // a small file needs no large one
  std::size_t filled = 0;
  std::uint64_t offset = 0;  // of the buffer's start in the file
  for (;;) {
    if (filled == buffer.size()) buffer.resize(buffer.size() * 2);
    std::error_code error;
    const std::size_t n =
        file_->read_at(offset + filled, buffer.data() + filled, buffer.size() - filled, error);
    if (error) refuse(path_, fmt::format("cannot be read ({})", error.message()));
    std::size_t searched = filled;
    filled += n;
    std::size_t begin = 0;
    const std::string_view bytes(buffer.data(), filled);
    for (;;) {
      const std::size_t newline = bytes.find('\n', searched);
      if (newline == std::string_view::npos) break;
      visit(bytes.substr(begin, newline - begin), offset + newline + 1, true);
      begin = searched = newline + 1;
    }
    if (n == 0) {
      if (begin < filled) visit(bytes.substr(begin), offset + filled, false);
      return;
    }
    std::memmove(buffer.data(), buffer.data() + begin, filled - begin);
    filled -= begin;
    offset += begin;
  }
}

void output_file::truncate(std::uint64_t size) {
  if (const auto error = file_->truncate(size)) write_failed(path_, error);
  size_ = size;
  torn_ = false;
}

void output_file::append(std::string& lines) {
  if (lines.empty()) return;
  if (torn_) truncate(size_);
  std::error_code error;
  const std::size_t written = file_->append(lines, error);
  // Of a disk that is full, what fits; but not half a line.
  const std::size_t kept = std::string_view(lines).substr(0, written).rfind('\n') + 1;
  size_ += kept;
  dirty_.store(true);
  lines.erase(0, kept);
  if (lines.empty()) return;
  // Where this fails, too, nothing is appended to the torn line, and the next run drops it.
  torn_ = static_cast<bool>(file_->truncate(size_));
  write_failed(path_, error);
}

void output_file::sync() {
  const std::lock_guard lock(syncing_);
  if (!dirty_.exchange(false)) return;
  if (const auto error = file_->sync()) {
    dirty_.store(true);
    write_failed(path_, error);
  }
}

void output_file::rewrite(const std::function<bool(std::string_view, std::uint64_t)>& keep) {
  const std::string target = files_.resolved(path_);
  const std::string fresh_path = target + ".new";
  output_file fresh(files_, fresh_path);
  try {
    std::error_code error;
    fresh.file_ = files_.open(fresh_path, file_system::open_as::replaced, error);
    if (!fresh.file_) write_failed(path_, error);
    fresh.lock();
    std::string kept;
    for_each_line([&](std::string_view line, std::uint64_t end, bool) {
      if (!keep(line, end)) return;
      kept.append(line).push_back('\n');
      if (kept.size() > (std::size_t{1} << 20)) fresh.append(kept);
    });
    fresh.append(kept);
    fresh.sync();
    error = files_.rename(fresh_path, target);
    if (error) write_failed(path_, error);
  } catch (...) {
    (void)files_.remove(fresh_path);
    throw;
  }
  if (const auto error = files_.sync_folder_of(target)) write_failed(path_, error);
  std::swap(file_, fresh.file_);
  size_ = fresh.size_;
  torn_ = false;
}

}  // namespace sluice
