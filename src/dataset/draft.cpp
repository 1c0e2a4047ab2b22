#include "dataset/draft.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <system_error>

#include "base/refuse.hpp"
#include "sluice/error.hpp"

namespace sluice::dataset {
namespace {

constexpr std::size_t write_size = std::size_t{256} << 10;

}  // namespace

draft::draft(file_system& files, const std::string& path,
             const std::function<bool(std::string_view)>& is_ours)
    : files_(files), path_(path), target_(files.resolved(path)) {
  remove_stale(is_ours);
  std::error_code error;
  const auto nothing = [](std::string_view /*begin*/) { return false; };
  file_ = create_temporary_for(files_, target_, nothing, temporary_, error);
  if (!file_) {
    throw fatal_error(
        fatal_error::kind::cannot_start,
        fmt::format("{}: cannot be created ({}); name a file in a folder that you may "
                    "write",
                    path_, error.message()));
  }
  (void)file_->lock();
}

// The lock distinguishes a file that a crash has left from one that another process is writing.
void draft::remove_stale(const std::function<bool(std::string_view)>& is_ours) {
  const std::string path = target_ + std::string(temporary_ending);
  std::error_code error;
  const auto stale = files_.open(path, file_system::open_as::existing, error);
  if (!stale || !stale->is_regular() || !is_ours(begin_of(*stale, error)) || error) return;
  if (stale->lock().is == file::lock_result::state::held) {
    refuse(path_, "another process is writing it; wait for it, or stop it first");
  }
  (void)files_.remove(path);
}

draft::~draft() {
  if (file_) (void)files_.remove(temporary_);
}

void draft::append(std::string_view bytes) {
  pending_ += bytes;
  if (pending_.size() >= write_size) flush();
}

void draft::flush() {
  std::error_code error;
  file_->append(pending_, error);
  if (error) fail(error);
  pending_.clear();
}

bool draft::equals_target() {
  flush();
  std::error_code error;
  const auto there = files_.open(target_, file_system::open_as::read_only, error);
  if (!there || !there->is_regular() || there->size() != file_->size()) return false;
  std::string ours(write_size, '\0');
  std::string theirs(write_size, '\0');
  for (std::uint64_t at = 0; at < file_->size();) {
    const std::size_t n = file_->read_at(at, ours.data(), write_size, error);
    const std::size_t m = there->read_at(at, theirs.data(), n, error);
    if (error || n == 0 || m != n ||
        !std::equal(ours.begin(), ours.begin() + static_cast<std::ptrdiff_t>(n), theirs.begin()))
      return false;
    at += n;
  }
  return true;
}

void draft::publish() {
  flush();
  std::error_code error = file_->sync();
  if (!error && !files_.is_at(*file_, temporary_)) {
    error = std::make_error_code(std::errc::no_such_file_or_directory);
  }
  if (!error) error = files_.rename(temporary_, target_);
  if (error) fail(error);
  file_.reset();
  error = files_.sync_folder_of(target_);
  if (error) fail(error);
}

void draft::fail(const std::error_code& why) const {
  throw fatal_error(fatal_error::kind::cannot_write,
                    fmt::format("{}: cannot be written ({}); make room or name a file in a folder "
                                "that you may write, then run the same command again",
                                path_, why.message()));
}

namespace {

// Reads the first bytes of a file, and more of them until they contain a line break.
std::string begin_with_line(file& of, std::error_code& error, std::size_t longest_line) {
  for (std::size_t size = longest_header;; size *= 4) {
    std::string begin = begin_of(of, error, size);
    const bool whole = begin.size() < size || begin.find('\n') != std::string::npos;
    if (error || whole || size >= longest_line) return begin;
  }
}

}  // namespace

void require_replaceable(file_system& files, const std::string& path,
                         const std::function<bool(std::string_view)>& is_ours,
                         std::size_t longest_line) {
  std::error_code error;
  const auto there = files.open(files.resolved(path), file_system::open_as::read_only, error);
  if (error == std::errc::no_such_file_or_directory) return;
  std::string begin;
  if (there && there->is_regular()) {
    begin = begin_with_line(*there, error, longest_line);
    if (!error && (begin.empty() || is_ours(begin))) return;
  }
  if (error) throw fatal_error(fatal_error::kind::cannot_start, open_fault_sentence(path, error));
  refuse(path,
         "is there already, and not as this command writes it, so it is not replaced; move "
         "it away, or name another file with -o");
}

}  // namespace sluice::dataset
