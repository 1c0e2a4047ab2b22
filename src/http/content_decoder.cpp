#include "http/content_decoder.hpp"

#include <algorithm>
#include <array>
#include <boost/algorithm/string/predicate.hpp>
#include <utility>

namespace sluice {
namespace {

// Number of bytes that are needed to recognize the format of a body.
constexpr std::size_t enough = 4;
constexpr std::size_t piece_size = std::size_t{16} * 1024;
// The same limit as in curl.
constexpr std::size_t most_layers = 5;
// 8 MiB: the largest zstd window allowed in HTTP, https://www.rfc-editor.org/rfc/rfc9659
constexpr int largest_window = 23;

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

// Values that name no encoding, and values such as charsets that are there by mistake.
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
  if (names_.size() > most_layers) throw bad_compression("is compressed too many times");
  const bool deflate = names_one_of({"deflate"});
  const bool known = deflate || names_one_of({"gzip", "x-gzip", "zlib", "zstd"});
  const bool gzip = is_gzip(begin) || (known && is_zlib(begin));
  const bool packed = gzip || is_zstd(begin);
  if (!packed && (names_.empty() || is_text(begin))) return;
  if (!packed && !known) {
    throw bad_compression("has an encoding that was not requested: " + names_.back());
  }
  if (!gzip && (packed || names_one_of({"zstd"}))) {
    undo_ = make_zstd_decompressor(largest_window);
  } else if (!gzip && deflate) {
    undo_ = make_deflate_decompressor();
  } else {
    undo_ = make_gzip_decompressor();  // if it is not gzip, this reports the error
  }
  if (names_.size() < 2) return;
  names_.pop_back();
  inner_ = std::make_unique<content_decoder>();
  inner_->names_ = std::move(names_);
}

bool content_decoder::is_plain(std::string_view next) {
  if (!decided_ && input_.empty() && next.size() >= enough) decide(next.substr(0, enough));
  return decided_ && !undo_ && !may_have_more_;
}

void content_decoder::put(std::string_view bytes) {
  input_.erase(0, std::exchange(done_, 0));
  input_ += bytes;
  may_have_more_ = true;
}

void content_decoder::finish() {
  ended_ = true;
  may_have_more_ = may_have_more_ || !decided_ || inner_;
}

std::string_view content_decoder::read() {
  if (!decided_) {
    // Without a header, only the first byte of gzip or zstd needs a closer look.
    const unsigned first = byte_at(input_, 0);
    const bool interesting = !names_.empty() || first == 0x1f || first == 0x28;
    if (interesting && input_.size() < enough) {
      if (ended_) return take_all();
      may_have_more_ = false;
      return {};
    }
    // Always the same number of bytes, so that the result does not depend on packet sizes.
    decide(std::string_view(input_).substr(0, enough));
  }
  const std::string_view next = undo_ ? undo_next() : take_all();
  may_have_more_ = !next.empty();
  return next;
}

std::string_view content_decoder::take_all() {
  piece_ = std::exchange(input_, {});
  done_ = 0;
  may_have_more_ = false;
  return piece_;
}

std::string_view content_decoder::undo_next() {
  piece_.resize(piece_size);
  for (;;) {
    if (inner_ && inner_->may_have_more()) {
      const std::string_view next = inner_->read();
      if (!next.empty()) return next;
    }
    std::string_view left = std::string_view(input_).substr(done_);
    const std::size_t n = undo_->step(left, piece_.data(), piece_.size());
    done_ = input_.size() - left.size();
    const std::string_view next(piece_.data(), n);
    if (!inner_) return next;
    if (n > 0) {
      inner_->put(next);
    } else if (ended_ && !inner_->ended_) {
      inner_->finish();
    } else {
      return {};
    }
  }
}

std::size_t content_decoder::memory() const noexcept {
  return input_.capacity() + piece_.capacity() + (undo_ ? undo_->memory() : 0) +
         (inner_ ? inner_->memory() : 0);
}

}  // namespace sluice
