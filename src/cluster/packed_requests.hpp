#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "sluice/job.hpp"

namespace sluice::cluster {

/// Requests of a job as one compressed text, which another machine unpacks: with all that enqueue
/// found out, so that no worker reads the job again. Pure.
std::string pack(const std::vector<request>& requests);
/// The requests whose lines are in [first, last]. Throws store::store_error if the bytes are
/// damaged or of another version.
std::vector<request> unpack(std::string_view packed, std::uint64_t first, std::uint64_t last);

}  // namespace sluice::cluster
