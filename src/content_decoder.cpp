#include "content_decoder.hpp"

#include <algorithm>
#include <array>
#include <boost/algorithm/string/predicate.hpp>
#include <utility>

namespace sluice {
namespace {

// So many bytes tell what a body is.
constexpr std::size_t enough = 4;

unsigned byte_at(std::string_view bytes, std::size_t place) {
  return place < bytes.size() ? static_cast<unsigned char>(bytes[place]) : 256;
}

bool is_gzip(std::string_view begin) {
  return byte_at(begin, 0) == 0x1f && byte_at(begin, 1) == 0x8b;
}

bool is_zstd(std::string_view begin) {
  return begin.starts_with("\x28\xb5\x2f\xfd");
}

// RFC 1950: deflate with a window of at most 32 KiB, and a check of the first two bytes.
bool is_zlib(std::string_view begin) {
  const unsigned first = byte_at(begin, 0);
  const unsigned second = byte_at(begin, 1);
  return second < 256 && (first & 0x0f) == 8 && first >> 4 <= 7 && (first * 256 + second) % 31 == 0;
}

bool is_text(std::string_view begin) {
  if (begin.starts_with("\xEF\xBB\xBF")) return true;
  const bool has_controls = std::any_of(begin.begin(), begin.end(), [](char c) {
    return c >= 0 && c < ' ' && c != '\t' && c != '\r' && c != '\n';
  });
  if (has_controls) return false;
  begin.remove_prefix(std::min(begin.find_first_not_of(" \t\r\n"), begin.size()));
  if (begin.empty()) return true;
  constexpr std::array<std::string_view, 9> begins{"{",     "[",   "\"",     "<",     ":",
                                                   "data:", "id:", "event:", "retry:"};
  return std::any_of(begins.begin(), begins.end(), [&](std::string_view one) {
    return begin.starts_with(one) || one.starts_with(begin);  // it may be cut
  });
}

// What stands for nothing, and charsets and the like that stand there by mistake.
bool means_nothing(std::string_view name) {
  constexpr std::array<std::string_view, 9> nothing{"",     "identity", "none",   "utf-8", "utf8",
                                                    "text", "plain",    "binary", "8bit"};
  return std::any_of(nothing.begin(), nothing.end(),
                     [&](std::string_view one) { return boost::algorithm::iequals(one, name); });
}

}  // namespace

void content_decoder::add(std::string_view names) {
  constexpr std::string_view blanks = " \t\"'";
  for (std::size_t end = 0; end != std::string_view::npos;) {
    end = names.find(',');
    std::string_view one = names.substr(0, end);
    if (end != std::string_view::npos) names.remove_prefix(end + 1);
    one.remove_prefix(std::min(one.find_first_not_of(blanks), one.size()));
    one.remove_suffix(one.size() - (one.find_last_not_of(blanks) + 1));
    if (!means_nothing(one)) names_.emplace_back(one);
  }
}

bool content_decoder::names_one_of(std::initializer_list<std::string_view> codings) const {
  return !names_.empty() && std::any_of(codings.begin(), codings.end(), [&](std::string_view one) {
    return boost::algorithm::iequals(one, names_.back());
  });
}

void content_decoder::decide(std::string_view begin) {
  decided_ = true;
  const bool deflate = names_one_of({"deflate"});
  const bool known = deflate || names_one_of({"gzip", "x-gzip", "zlib", "zstd"});
  const bool gzip = is_gzip(begin) || (known && is_zlib(begin));
  const bool packed = gzip || is_zstd(begin);
  if (!packed && (names_.empty() || is_text(begin))) return;
  if (!packed && !known) {
    throw bad_compression("is in a form that was not asked for: " + names_.back());
  }
  if (!gzip && (packed || names_one_of({"zstd"}))) {
    undo_ = make_zstd_decompressor();
  } else if (!gzip && deflate) {
    undo_ = make_deflate_decompressor();
  } else {
    undo_ = make_gzip_decompressor();  // where it is none, this says so
  }
  if (names_.size() < 2) return;
  names_.pop_back();
  inner_ = std::make_unique<content_decoder>();
  inner_->names_ = std::move(names_);
}

void content_decoder::put(std::string_view bytes, const sink& take) {
  std::string begun;
  if (!decided_) {
    // Without a name only what gzip and zstd begin with is of interest.
    const unsigned first = byte_at(held_.empty() ? bytes : std::string_view(held_), 0);
    const bool interesting = !names_.empty() || first == 0x1f || first == 0x28;
    if (interesting && held_.size() + bytes.size() < enough) {
      held_ += bytes;
      return;
    }
    begun = std::exchange(held_, {});
    if (!begun.empty()) bytes = begun += bytes;
    decide(bytes.substr(0, enough));  // however the body is cut
  }
  if (!undo_) {
    take(bytes);
    return;
  }
  // In small pieces, and no further than is wanted: a few bytes may hold gigabytes.
  std::array<char, std::size_t{16} * 1024> piece;
  bool wanted = true;
  const sink onward = [&](std::string_view plain) { return wanted = take(plain); };
  while (wanted) {
    const std::size_t n = undo_->step(bytes, piece.data(), piece.size());
    if (n == 0) return;
    if (inner_) {
      inner_->put({piece.data(), n}, onward);
    } else {
      onward({piece.data(), n});
    }
  }
}

void content_decoder::finish(const sink& take) {
  if (inner_) inner_->finish(take);
  if (!held_.empty()) take(std::exchange(held_, {}));
}

}  // namespace sluice
