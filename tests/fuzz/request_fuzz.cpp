#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>

#include "fuzz/support.hpp"
#include "http/server/request_reader.hpp"

namespace sluice::fuzz {
namespace {

using http_server::request_reader;

struct outcome {
  int refused = 0;
  bool head_read = false;
  std::string method;
  std::string path;
  std::string query;
  std::string body;
  bool failed = false;
  bool done = false;
  std::size_t taken = 0;
  friend bool operator==(const outcome&, const outcome&) = default;
};

// Reads one request whose bytes arrive in pieces of `length`.
outcome read(std::string_view bytes, std::size_t length) {
  outcome found;
  request_reader reader(1024);
  std::string buffer;
  std::size_t at = 0;
  const auto more = [&] {
    if (at >= bytes.size()) return false;
    buffer += bytes.substr(at, length);
    at += length;
    return true;
  };
  for (;;) {
    const std::string copy = buffer;  // of its own size, so that a read behind its end is seen
    const auto head = reader.read_head(copy);
    if (!head) {
      if (!more()) return found;
      continue;
    }
    if (const auto* why = std::get_if<request_reader::refusal>(&*head)) {
      require(why->status >= 400 && why->status < 600 && !why->message.empty(),
              "a refusal says why");
      found.refused = why->status;
      return found;
    }
    found.taken = std::get<std::size_t>(*head);
    require(found.taken <= buffer.size(), "it takes what is there");
    buffer.erase(0, found.taken);
    break;
  }
  found.head_read = true;
  found.method = reader.head().method;
  found.path = reader.head().path;
  found.query = reader.head().query;
  require(found.path.starts_with('/'), "a path begins with a slash");
  require(found.path.find('\0') == std::string::npos, "a path has no NUL");
  std::array<char, 7> piece{};
  while (!reader.body_is_done()) {
    const std::string copy = buffer;
    const auto step = reader.read_body(copy, piece.data(), piece.size());
    require(step.taken <= buffer.size() && step.produced <= piece.size(), "it stays in its bounds");
    buffer.erase(0, step.taken);
    found.taken += step.taken;
    found.body.append(piece.data(), step.produced);
    found.failed = step.failed;
    if (step.failed) return found;
    if (step.taken + step.produced == 0 && !more()) return found;
  }
  found.done = true;
  return found;
}

}  // namespace
}  // namespace sluice::fuzz

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace sluice::fuzz;
  if (size < 1) return 0;
  const std::string_view bytes(reinterpret_cast<const char*>(data) + 1, size - 1);
  const outcome whole = read(bytes, bytes.size() + 1);
  const outcome pieces = read(bytes, data[0] % 16 + std::size_t{1});
  // A head that is not valid may be refused before its end has come, or then.
  require(whole.refused == 0 || !pieces.head_read, "pieces of what is refused are no request");
  require(pieces.refused == 0 || !whole.head_read, "what is refused in pieces is no request");
  if (whole.done) require(pieces == whole, "pieces change nothing");
  return 0;
}
