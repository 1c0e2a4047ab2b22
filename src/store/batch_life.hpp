#pragma once

#include <cstdint>
#include <vector>

#include "store/batch_record.hpp"

namespace sluice::store {

// The changes that each decision of batch_store makes in the record of a batch. All stores use
// these functions, so all of them follow the same rules. Pure.

/// Requests the end of a batch. Returns false if the batch stays unchanged.
bool cancel(batch_record& batch, std::int64_t now);
void accept(batch_record& batch, const accepted_lines& lines, std::int64_t now);
void refuse(batch_record& batch, const std::vector<batch_error>& errors, std::int64_t now);
/// Returns false if its end was decided before; then the batch stays unchanged.
bool decide_end(batch_record& batch, const finalizing& how, std::int64_t now);
/// Throws std::logic_error if the end of the batch is not decided.
void end(batch_record& batch, const finished_batch& results, std::int64_t now);

}  // namespace sluice::store
