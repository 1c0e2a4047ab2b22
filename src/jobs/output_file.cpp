#include "jobs/output_file.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <utility>
#include <vector>

#include "base/translated_error.hpp"
#include "jobs/own_files.hpp"
#include "sluice/error.hpp"

namespace sluice {
namespace {

[[noreturn]] void write_failed(const std::string& path, const std::error_code& why) {
  throw translated_error(fatal_error::kind::cannot_write,
                         worded("{}: cannot write results ({}); make room or fix the disk, and "
                                "run the same command again",
                                path, why.message()));
}

bool is_lack_of_room(const std::error_code& error) {
  return error == std::errc::no_space_on_device || error.value() == EDQUOT;
}

// Searches for each newline; this is faster for long lines than to examine each byte.
std::uint64_t lines_in(std::string_view text) {
  std::uint64_t lines = 0;
  for (std::size_t at = 0; (at = text.find('\n', at)) != std::string_view::npos; ++at) ++lines;
  return lines;
}

constexpr std::size_t most_copied = std::size_t{16} << 20;  // bytes of lines at a time
constexpr std::size_t most_read = std::size_t{1} << 20;     // bytes at a time
constexpr std::size_t head = std::size_t{64} << 10;
// Number of bytes of appended lines that are kept in memory.
constexpr std::size_t most_recent = std::size_t{1} << 20;
constexpr std::uint64_t least_room = std::uint64_t{64} << 10;

}  // namespace

bool output_file::open_existing() {
  std::error_code error;
  do {
    file_ = files_.open(files_.resolved(path_), file_system::open_as::existing, error);
    if (!file_) {
      if (error == std::errc::no_such_file_or_directory) return false;
      if (error == std::errc::too_many_symbolic_link_levels ||
          error == std::errc::operation_not_permitted) {
        throw fatal_error(fatal_error::kind::cannot_start, open_fault_sentence(path_, error));
      }
      refuse(
          path_,
          fmt::format("cannot open it to write ({}); choose another place with -o or --output-dir",
                      error.message()));
    }
    if (!file_->is_regular())
      refuse(path_, "is not a regular file; choose another place with -o or --output-dir");
    lock();
  } while (!files_.is_at(*file_, path_));  // the file was replaced between opening and locking
  size_ = file_->size();
  room_until_ = 0;
  dirty_.store(size_ > 0);  // an earlier run may have been killed before its data reached the disk
  return true;
}

void output_file::create() {
  std::error_code error;
  file_ = files_.open(files_.resolved(path_), file_system::open_as::created, error);
  // If the name exists now, open_existing() reports who holds the file.
  if (!file_ && error == std::errc::file_exists && open_existing()) {
    close();
    refuse(path_, "another run has made it meanwhile; run the same command again");
  }
  if (!file_) {
    refuse(path_, fmt::format("cannot create it ({}); choose another place with -o or --output-dir",
                              error.message()));
  }
  lock();
  size_ = 0;
}

// Locks the file. The lock ends with the file or the process, even after a crash. If the lock is
// taken, the error names its holder.
void output_file::lock() {
  const file::lock_result lock = file_->lock();
  if (lock.is != file::lock_result::state::held) return;
  close();
  const wording who = lock.holder > 0 ? worded("process {}", lock.holder)
                                      : worded("of another user or on another machine");
  refuse(path_, worded("another run, {}, is writing it; wait for it, or stop it first", who));
}

std::string output_file::begin() const {
  std::error_code error;
  std::string bytes = begin_of(*file_, error, head);
  if (error) refuse(path_, fmt::format("cannot be read ({})", error.message()));
  return bytes;
}

void output_file::for_each_block(const std::function<void(file_block)>& take) const {
  // Large enough that a thread is worth its work on a block, and small enough that a few of them
  // need little memory.
  constexpr std::size_t usual = std::size_t{64} << 10U;
  file_block next;
  for (;;) {
    std::vector<char>& bytes = next.bytes;
    const std::size_t filled = bytes.size();
    bytes.resize(filled + usual);
    std::error_code error;
    const std::size_t n = file_->read_at(next.offset + filled, bytes.data() + filled, usual, error);
    if (error) refuse(path_, fmt::format("cannot be read ({})", error.message()));
    bytes.resize(filled + n);
    if (n == 0) {
      if (!bytes.empty()) take(std::move(next));
      return;
    }
    const std::size_t newline = std::string_view(bytes.data() + filled, n).rfind('\n');
    if (newline == std::string_view::npos) continue;
    const auto end = bytes.begin() + static_cast<std::ptrdiff_t>(filled + newline + 1);
    file_block rest{{end, bytes.end()}, next.offset + filled + newline + 1};
    bytes.erase(end, bytes.end());
    take(std::exchange(next, std::move(rest)));
  }
}

void output_file::for_each_line(
    const std::function<void(std::string_view, std::uint64_t, bool)>& visit) const {
  for_each_block([&visit](const file_block& block) { block.for_each_line(visit); });
}

std::string output_file::line_at(std::uint64_t offset) const {
  constexpr std::size_t first_read = std::size_t{4} << 10;
  std::string line;
  for (std::size_t more = first_read;; more = line.size()) {
    const std::size_t before = line.size();
    const auto rest = static_cast<std::size_t>(std::min<std::uint64_t>(more, size_ - offset));
    std::string read(rest, '\0');
    read_all(offset, read);
    offset += rest;
    line += read;
    const std::size_t end = line.find('\n', before);
    if (end != std::string::npos) line.resize(end);
    if (end != std::string::npos || rest == 0) return line;
  }
}

void output_file::truncate(std::uint64_t size) {
  if (const auto error = file_->truncate(size)) write_failed(path_, error);
  size_ = size;
  torn_ = false;
}

// Reserves disk space after the first `size` bytes, which the file is about to have.
void output_file::make_room(std::uint64_t size) {
  if (wanted_room_ == 0 || size + wanted_room_ / 2 <= room_until_) return;
  room_fault_ = {};
  for (std::uint64_t room = wanted_room_; room >= least_room; room /= 2) {
    if (size + room <= room_until_) break;
    room_fault_ = file_->reserve(size + room - size_);
    if (room_fault_) continue;
    room_until_ = size + room;
    return;
  }
}

void output_file::give_back_room() {
  if (room_until_ <= size_ || torn_) return;
  (void)file_->truncate(size_);
  room_until_ = 0;
}

void output_file::give_back_earlier_room() {
  if (file_->has_reserve()) (void)file_->truncate(size_);
}

void output_file::append(std::string& lines) {
  if (lines.empty()) return;
  if (torn_) truncate(size_);
  make_room(size_ + lines.size());
  std::error_code error;
  const std::size_t written = file_->append(lines, error);
  // If the disk is full, keep the lines that fit, but no incomplete line.
  const std::size_t kept = std::string_view(lines).substr(0, written).rfind('\n') + 1;
  size_ += kept;
  dirty_.store(true);
  if (recent_.size() + kept <= most_recent) {
    recent_.reserve(most_recent);  // growing step by step would need three times the memory
    recent_.append(lines, 0, kept);
  }
  lines_ += lines_in(std::string_view(lines).substr(0, kept));
  lines.erase(0, kept);
  full_ = is_lack_of_room(error);
  if (!lines.empty()) {
    // If this fails, too, nothing is appended to the torn line, and the next run removes it.
    torn_ = static_cast<bool>(file_->truncate(size_));
    room_until_ = 0;
    write_failed(path_, error);
  }
  if (room_fault_) write_failed(path_, room_fault_);
}

void output_file::sync() {
  const std::lock_guard lock(syncing_);
  std::error_code error = sync_fault_;
  if (!error && dirty_.exchange(false)) {
    error = file_->sync();
    sync_ended(error);
  }
  if (error) write_failed(path_, error);
}

// The caller holds the mutex.
void output_file::sync_ended(const std::error_code& error) {
  if (error && file_->keeps_unsynced()) {
    dirty_.store(true);
  } else {
    sync_fault_ = error;
  }
}

bool output_file::lacks_sync() const {
  const std::lock_guard lock(syncing_);
  return static_cast<bool>(sync_fault_);
}

void output_file::rewrite(const std::function<bool(std::string_view, std::uint64_t)>& keep) {
  try {
    replace([&](output_file& fresh) {
      std::string kept;
      for_each_line([&](std::string_view line, std::uint64_t end, bool) {
        if (!keep(line, end)) return;
        kept.append(line).push_back('\n');
        if (kept.size() > (std::size_t{1} << 20)) fresh.append(kept);
      });
      fresh.append(kept);
    });
  } catch (const disk_fault& fault) {
    write_failed(path_, fault.why);
  }
}

// Replaces the file with a new one that `fill` writes. Also throws disk_fault.
void output_file::replace(const std::function<void(output_file&)>& fill) {
  const std::string target = files_.resolved(path_);
  std::error_code error;
  std::string fresh_path;
  auto opened = create_temporary_for(files_, target, begins_as_unplaced_results, fresh_path, error);
  if (!opened) throw disk_fault{error};
  output_file fresh(files_, fresh_path);
  fresh.file_ = std::move(opened);
  try {
    fresh.lock();
    fill(fresh);
    error = fresh.file_->sync();
    if (!error) error = files_.rename(fresh_path, target);
    if (error) throw disk_fault{error};
  } catch (...) {
    (void)files_.remove(fresh_path);
    throw;
  }
  // From here on the path leads to the new file, even if the sync of the folder fails.
  std::swap(file_, fresh.file_);
  size_ = fresh.size_;
  torn_ = false;
  room_until_ = 0;
  error = files_.sync_folder_of(target);
  const std::lock_guard lock(syncing_);
  dirty_.store(false);
  sync_fault_ = {};
  sync_ended(error);
  if (error) write_failed(path_, error);
}

bool output_file::is_in_order(
    const std::function<std::uint64_t(std::string_view)>& number_of) const {
  bool in_order = true;
  std::uint64_t last = 0;
  for_each_line([&](std::string_view line, std::uint64_t, bool) {
    if (!in_order) return;
    const std::uint64_t number = number_of(line);
    in_order = number >= last;
    last = number;
  });
  return in_order;
}

void output_file::sort(const std::function<std::uint64_t(std::string_view)>& number_of,
                       std::size_t most_in_memory) {
  if (torn_) truncate(size_);
  if (is_in_order(number_of)) return;
  try {
    line_order order(files_, files_.resolved(path_), most_in_memory);
    std::uint64_t begin = 0;
    for_each_line([&](std::string_view line, std::uint64_t end, bool) {
      order.add({number_of(line), begin, end - begin});
      begin = end;
    });
    replace([&](output_file& fresh) {
      std::vector<line_place> batch;
      std::uint64_t bytes = 0;
      order.visit([&](const line_place& place) {
        batch.push_back(place);
        bytes += place.length;
        if (bytes < most_copied) return;
        copy(batch, fresh);
        bytes = 0;
      });
      copy(batch, fresh);
    });
  } catch (const disk_fault& fault) {
    sort_failed(fault.why);
  }
}

void output_file::sort_failed(const std::error_code& why) const {
  constexpr std::uint64_t megabyte = 1'000'000;
  throw fatal_error(
      fatal_error::kind::cannot_write,
      fmt::format("{}: cannot be brought into job order ({}); its lines are all there, in the "
                  "order of completion: {}, and run the same command again to sort it",
                  path_, why.message(),
                  is_lack_of_room(why)
                      ? fmt::format("make room for another {} MB", size_ / megabyte + 1)
                      : std::string("fix the disk")));
}

// Appends the lines in the order of the batch, and empties the batch. The lines are read in the
// order in which they are in the file.
void output_file::copy(std::vector<line_place>& batch, output_file& into) const {
  struct piece {
    line_place from;
    std::size_t to = 0;
  };
  std::vector<piece> pieces;
  pieces.reserve(batch.size());
  std::size_t size = 0;
  for (const line_place& place : batch) {
    pieces.push_back({place, size});
    size += place.length;
  }
  std::sort(pieces.begin(), pieces.end(),
            [](const piece& a, const piece& b) { return a.from.offset < b.from.offset; });
  std::string lines(size, '\0');
  std::string read;
  for (std::size_t i = 0; i < pieces.size();) {
    // Neighbouring lines are read together.
    std::size_t end = i;
    std::size_t length = 0;
    const std::uint64_t offset = pieces[i].from.offset;
    do {
      length += pieces[end].from.length;
      ++end;
    } while (end < pieces.size() && pieces[end].from.offset == offset + length &&
             length < most_read);
    read.resize(length);
    read_all(offset, read);
    for (std::size_t at = 0; i < end; ++i) {
      std::memcpy(lines.data() + pieces[i].to, read.data() + at, pieces[i].from.length);
      at += pieces[i].from.length;
    }
  }
  batch.clear();
  std::error_code error;
  into.size_ += into.file_->append(lines, error);
  into.dirty_.store(true);
  if (error) throw disk_fault{error};
}

// Reads bytes that are known to be there.
void output_file::read_all(std::uint64_t offset, std::string& into) const {
  for (std::size_t filled = 0; filled < into.size();) {
    std::error_code error;
    const std::size_t n =
        file_->read_at(offset + filled, into.data() + filled, into.size() - filled, error);
    if (!error && n == 0) error = std::make_error_code(std::errc::io_error);
    if (error) refuse(path_, fmt::format("cannot be read ({})", error.message()));
    filled += n;
  }
}

bool output_file::is_intact() {
  const bool intact = files_.is_at(*file_, path_) && (torn_ || file_->size() == size_);
  if (intact) recent_.clear();
  return intact;
}

// Creates a new file for the lines of a file that was taken away: next to it, or at another place
// with enough space.
std::unique_ptr<file> output_file::create_aside(std::string& name, std::error_code& error) {
  namespace fs = std::filesystem;
  constexpr int most_names = 1000;
  const fs::path path(path_);
  std::error_code no_such_folder;
  const fs::path elsewhere = fs::temp_directory_path(no_such_folder);
  for (const fs::path& folder : {path.parent_path(), fs::path("."), elsewhere}) {
    for (int n = 1; n < most_names; ++n) {
      name = (folder / fmt::format("{}.rescued-{}", path.filename().string(), n)).string();
      std::error_code fault;
      auto made = files_.open(name, file_system::open_as::created, fault);
      if (made) return made;
      if (!error) error = fault;  // report the error of the first place
      if (fault != std::errc::file_exists) break;
    }
  }
  return nullptr;
}

std::string output_file::rescue(std::string& unwritten) {
  const bool in_place = files_.is_at(*file_, path_);
  if (!in_place) {
    if (const auto now = file_->current_path()) {
      append(unwritten);
      sync();
      return fmt::format(
          "{}: was moved to {} while the run went on; its results are there: move it "
          "back, and run the same command again",
          path_, *now);
    }
  }
  std::uint64_t present = 0;
  for_each_line([&](std::string_view, std::uint64_t, bool whole) { present += whole ? 1 : 0; });
  lost_ = in_place ? lines_ - std::min(lines_, present) : lines_;
  std::error_code error;
  std::string name;
  const auto aside = create_aside(name, error);
  if (!aside) {
    full_ = is_lack_of_room(error);
    write_failed(path_, error);
  }
  error = {};
  std::uint64_t lines = 0;
  const auto write = [&](std::string_view text) {
    if (!error) aside->append(text, error);
    lines += lines_in(text);
  };
  // If it is in place, another program has written into it; its remaining content is still there.
  if (in_place) {
    write(recent_);
  } else {
    for_each_line([&](std::string_view line, std::uint64_t, bool whole) {
      if (whole) write(std::string(line) + '\n');
    });
  }
  const std::uint64_t placed = lines;
  write(unwritten);
  if (!error) error = aside->sync();
  if (!error) error = files_.sync_folder_of(name);
  if (error) {
    (void)files_.remove(name);
    full_ = is_lack_of_room(error);
    write_failed(name, error);
  }
  unwritten.clear();
  full_ = false;
  lost_ -= std::min(lost_, placed);
  return fmt::format(
      "{}: was {} by another program while the run went on; {} of its lines, which the run still "
      "had, are in {}",
      path_, in_place ? "changed" : "replaced or removed", lines, name);
}

}  // namespace sluice
