#include "dataset/result_lines.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <optional>

#include "base/hash.hpp"
#include "base/refuse.hpp"
#include "jobs/stored_line.hpp"
#include "json/members.hpp"
#include "json/text.hpp"

namespace sluice::dataset {
namespace {

constexpr std::size_t window_size = std::size_t{256} << 10;

[[noreturn]] void cannot_read(const std::string& path, int error) {
  refuse(path, fmt::format("cannot be read ({}); check the path", std::strerror(error)));
}

int open_results(const std::string& path) {
  const int file = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (file < 0 && errno != ENOENT) cannot_read(path, errno);
  return file;
}

// Reads up to `size` bytes from an offset.
std::size_t read_at(const std::string& path, int file, std::uint64_t offset, char* into,
                    std::size_t size) {
  for (;;) {
    const ssize_t n = ::pread(file, into, size, static_cast<off_t>(offset));
    if (n >= 0) return static_cast<std::size_t>(n);
    if (errno != EINTR) cannot_read(path, errno);
  }
}

// The id of a stored line. If the line begins as a run writes it, only its beginning is read.
std::optional<std::string> id_of_line(std::string_view line) {
  constexpr std::string_view begin = R"({"id":"batch_req_)";
  constexpr std::string_view before_id = R"(","custom_id":")";
  constexpr std::size_t id_digits = 32;
  const std::size_t quote = begin.size() + id_digits + before_id.size() - 1;
  if (line.size() > quote && line.starts_with(begin) &&
      line.substr(begin.size() + id_digits).starts_with(before_id)) {
    std::size_t end = quote + 1;
    while (end < line.size() && line[end] != '"') end += line[end] == '\\' ? 2 : 1;
    if (end < line.size() && line.ends_with('}')) {
      return json_string_wtf8(line.substr(quote, end + 1 - quote));
    }
  }
  const auto stored = parse_stored_line(line);
  return stored ? std::optional(stored->custom_id) : std::nullopt;
}

}  // namespace

result_lines::result_lines(const std::string& output, const std::string& errors)
    : output_{output, open_results(output)},
      errors_{errors, open_results(errors)},
      window_(window_size) {
  add(errors_, true);
  add(output_, false);
}

result_lines::~result_lines() {
  for (const source& one : {output_, errors_}) {
    if (one.file >= 0) ::close(one.file);
  }
}

void result_lines::add(const source& from, bool is_error) {
  if (from.file < 0) return;
  std::vector<char> buffer(window_size);
  std::size_t filled = 0;
  std::uint64_t offset = 0;  // offset of the buffer in the file
  std::uint64_t number = 0;
  for (bool ended = false; !ended;) {
    if (filled == buffer.size()) buffer.resize(buffer.size() * 2);
    const std::size_t n = read_at(from.path, from.file, offset + filled, buffer.data() + filled,
                                  buffer.size() - filled);
    ended = n == 0;
    filled += n;
    std::size_t at = 0;
    while (at < filled) {
      const std::string_view rest(buffer.data() + at, filled - at);
      const std::size_t newline = rest.find('\n');
      if (newline == std::string_view::npos && !ended) break;
      std::string_view line = rest.substr(0, newline);
      const std::uint64_t begin = offset + at;
      at += line.size() + (newline == std::string_view::npos ? 0 : 1);
      ++number;
      if (line.ends_with('\r')) line.remove_suffix(1);
      if (line.empty()) continue;
      const auto id = id_of_line(line);
      // The last line is incomplete because of a crash, or because a run is writing it.
      if (!id && newline == std::string_view::npos) break;
      if (!id) {
        refuse(from.path, fmt::format("line {} is damaged; run the job again, which says how to "
                                      "correct it",
                                      number));
      }
      const auto [where, is_new] = places_.insert(hash_of(*id));
      *where = {begin & ((std::uint64_t{1} << 62U) - 1), is_error ? 1U : 0U, 0U};
    }
    std::memmove(buffer.data(), buffer.data() + at, filled - at);
    filled -= at;
    offset += at;
    if (filled > longest_result_line) {
      refuse(from.path, fmt::format("line {} has no end; run the job again, which says how to "
                                    "repair it",
                                    number + 1));
    }
  }
}

std::string_view result_lines::line_at(const source& from, std::uint64_t offset) {
  if (window_file_ != from.file || offset < window_begin_ ||
      offset >= window_begin_ + window_size_) {
    window_file_ = from.file;
    window_begin_ = offset;
    window_size_ = 0;
  }
  for (;;) {
    const std::size_t at = offset - window_begin_;
    const std::string_view rest(window_.data() + at, window_size_ - at);
    const std::size_t newline = rest.find('\n');
    if (newline != std::string_view::npos) return rest.substr(0, newline);
    std::memmove(window_.data(), window_.data() + at, rest.size());
    window_begin_ = offset;
    window_size_ = rest.size();
    if (window_size_ == window_.size()) window_.resize(window_.size() * 2);
    const std::size_t n = read_at(from.path, from.file, window_begin_ + window_size_,
                                  window_.data() + window_size_, window_.size() - window_size_);
    if (n == 0) return {window_.data(), window_size_};
    window_size_ += n;
  }
}

result_lines::found result_lines::find(std::string_view id, std::string_view& line) {
  place* const where = places_.find(hash_of(id));
  if (where == nullptr) return found::nothing;
  line = line_at(where->is_error != 0 ? errors_ : output_, where->offset);
  if (where->was_found != 0) return found::line_again;
  where->was_found = 1;
  ++found_;
  return found::line;
}

}  // namespace sluice::dataset
