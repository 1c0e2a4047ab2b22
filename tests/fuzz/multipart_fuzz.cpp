#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <tuple>
#include <vector>

#include "fuzz/support.hpp"
#include "http/server/multipart.hpp"

namespace sluice::fuzz {
namespace {

using http_server::multipart_parser;

struct outcome {
  // Name, file name, content and whether it has ended.
  std::vector<std::tuple<std::string, std::optional<std::string>, std::string, bool>> parts;
  bool whole = false;
  std::string fault;
  friend bool operator==(const outcome&, const outcome&) = default;
};

// Reads the body in pieces of `length` bytes.
outcome read(std::string_view body, std::size_t length) {
  outcome found;
  multipart_parser parser(
      "f", {.on_part =
                [&](const multipart_parser::part_head& head) {
                  require(found.parts.empty() || std::get<3>(found.parts.back()), "a part ends");
                  found.parts.emplace_back(head.name, head.filename, "", false);
                },
            .on_bytes =
                [&](std::string_view piece) {
                  require(!piece.empty(), "a piece has bytes");
                  std::get<2>(found.parts.back()) += std::string(piece);
                },
            .on_part_end = [&] { std::get<3>(found.parts.back()) = true; }});
  bool good = true;
  for (std::size_t at = 0; good && at < body.size(); at += length) {
    good = parser.feed(std::string(body.substr(at, length)));  // freed after the call
  }
  found.whole = good && parser.finish();
  found.fault = parser.fault();
  require(found.whole == found.fault.empty(), "what is not whole has a fault");
  return found;
}

}  // namespace
}  // namespace sluice::fuzz

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace sluice::fuzz;
  if (size < 1) return 0;
  const std::string_view body(reinterpret_cast<const char*>(data) + 1, size - 1);
  const outcome whole = read(body, body.size() + 1);
  const outcome pieces = read(body, data[0] % 16 + std::size_t{1});
  if (whole.whole) require(pieces == whole, "pieces change nothing");
  require(pieces.whole == whole.whole, "pieces are whole when the body is");
  sluice::http_server::multipart_parser::boundary_of(body);
  return 0;
}
