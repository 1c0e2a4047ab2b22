#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "sluice/job.hpp"

namespace sluice::cluster {

/// Packs requests of a job into one compressed text for other machines. It contains everything that
/// enqueue has found out, so workers do not read the job again. Pure.
std::string pack(const std::vector<request>& requests);
/// Returns the requests with lines in [first, last]. Throws store::store_error if the bytes are
/// damaged or have another version.
std::vector<request> unpack(std::string_view packed, std::uint64_t first, std::uint64_t last);

}  // namespace sluice::cluster
