#include "server/request_id.hpp"

#include <algorithm>

#include "server/object_id.hpp"

namespace sluice::server {
namespace {

constexpr std::size_t longest = 128;

bool is_plain(char c) {
  constexpr std::string_view marks = "-_.:/+=@";
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
         marks.find(c) != std::string_view::npos;
}

}  // namespace

std::string request_id_of(std::optional<std::string_view> given) {
  const bool usable = given && !given->empty() && given->size() <= longest &&
                      std::all_of(given->begin(), given->end(), is_plain);
  return usable ? std::string(*given) : new_object_id("req_");
}

}  // namespace sluice::server
