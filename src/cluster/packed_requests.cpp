#include "cluster/packed_requests.hpp"

#include <zstd.h>

#include <bit>
#include <concepts>
#include <cstddef>
#include <optional>

#include "store/batch_record.hpp"

namespace sluice::cluster {
namespace {

constexpr std::string_view mark = "sluice1\n";
constexpr int level = 3;
constexpr unsigned long long longest_block = 1ULL << 32U;  // limit for an unpacked block

// Writes a whole number, the lowest seven bits first.
void put(std::string& out, std::uint64_t value) {
  for (; value >= 0x80; value >>= 7U) out.push_back(static_cast<char>(value | 0x80U));
  out.push_back(static_cast<char>(value));
}
void put(std::string& out, std::string_view text) {
  put(out, text.size());
  out += text;
}

class reader {
 public:
  explicit reader(std::string_view bytes) : rest_(bytes) {}
  bool at_end() const noexcept { return rest_.empty(); }
  std::uint64_t number() {
    std::uint64_t value = 0;
    for (unsigned shift = 0; shift < 64; shift += 7) {
      if (rest_.empty()) throw store::store_error("a block of requests is cut off");
      const auto byte = static_cast<unsigned char>(rest_.front());
      rest_.remove_prefix(1);
      value |= std::uint64_t{byte & 0x7FU} << shift;
      if (byte < 0x80) return value;
    }
    throw store::store_error("a block of requests is damaged");
  }
  std::string text() {
    const std::uint64_t size = number();
    if (size > rest_.size()) throw store::store_error("a block of requests is cut off");
    std::string found(rest_.substr(0, size));
    rest_.remove_prefix(size);
    return found;
  }

 private:
  std::string_view rest_;
};

constexpr endpoint targets[] = {endpoint::chat_completions, endpoint::completions,
                                endpoint::embeddings, endpoint::responses};

endpoint target_named(std::string_view name) {
  for (const endpoint one : targets) {
    if (to_string(one) == name) return one;
  }
  throw store::store_error("a block of requests names an endpoint that this version lacks");
}

}  // namespace

std::string pack(const std::vector<request>& requests) {
  std::string plain(mark);
  for (const request& one : requests) {
    put(plain, one.line);
    put(plain, one.custom_id);
    put(plain, to_string(one.target));
    put(plain, one.model);
    put(plain, one.digest);
    put(plain, one.choices);
    put(plain, one.streamed ? 1 : 0);
    put(plain, one.stream_fields);
    put(plain, one.body);
  }
  std::string packed(ZSTD_compressBound(plain.size()), '\0');
  const std::size_t size =
      ZSTD_compress(packed.data(), packed.size(), plain.data(), plain.size(), level);
  if (ZSTD_isError(size) != 0) throw store::store_error("a block of requests cannot be packed");
  packed.resize(size);
  return packed;
}

std::vector<request> unpack(std::string_view packed, std::uint64_t first, std::uint64_t last) {
  const unsigned long long size = ZSTD_getFrameContentSize(packed.data(), packed.size());
  if (size > longest_block) throw store::store_error("a block of requests is damaged");
  std::string plain(static_cast<std::size_t>(size), '\0');
  const std::size_t got = ZSTD_decompress(plain.data(), plain.size(), packed.data(), packed.size());
  if (ZSTD_isError(got) != 0 || got != plain.size() || !plain.starts_with(mark)) {
    throw store::store_error("a block of requests is damaged");
  }
  std::vector<request> found;
  reader rest(std::string_view(plain).substr(mark.size()));
  while (!rest.at_end()) {
    request one;
    one.line = rest.number();
    one.custom_id = rest.text();
    one.target = target_named(rest.text());
    one.model = rest.text();
    one.digest = rest.text();
    one.choices = static_cast<unsigned>(rest.number());
    one.streamed = rest.number() != 0;
    one.stream_fields = static_cast<std::uint32_t>(rest.number());
    one.body = rest.text();
    if (one.line >= first && one.line <= last) found.push_back(std::move(one));
  }
  return found;
}

}  // namespace sluice::cluster
