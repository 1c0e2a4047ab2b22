#include "store/batch_record.hpp"

#include <algorithm>
#include <array>
#include <utility>

namespace sluice::store {
namespace {

constexpr std::array<std::pair<batch_status, std::string_view>, 8> names{{
    {batch_status::validating, "validating"},
    {batch_status::failed, "failed"},
    {batch_status::in_progress, "in_progress"},
    {batch_status::finalizing, "finalizing"},
    {batch_status::completed, "completed"},
    {batch_status::expired, "expired"},
    {batch_status::cancelling, "cancelling"},
    {batch_status::cancelled, "cancelled"},
}};

}  // namespace

std::string_view name_of(batch_status status) noexcept {
  return std::ranges::find(names, status, &decltype(names)::value_type::first)->second;
}

std::optional<batch_status> status_named(std::string_view name) noexcept {
  const auto* const found = std::ranges::find(names, name, &decltype(names)::value_type::second);
  return found == names.end() ? std::nullopt : std::optional(found->first);
}

}  // namespace sluice::store
