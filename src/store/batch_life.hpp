#pragma once

#include <cstdint>
#include <vector>

#include "store/batch_record.hpp"

namespace sluice::store {

// The life of a batch: what each decision of batch_store changes in its record. All stores use
// these functions, so that a batch lives by the same rules in each. Pure.

/// Asks for the end of a batch. False: it stays as it is.
bool cancel(batch_record& batch, std::int64_t now);
void accept(batch_record& batch, const accepted_lines& lines, std::int64_t now);
void refuse(batch_record& batch, const std::vector<batch_error>& errors, std::int64_t now);
/// False: its end was decided before, and it stays as it is.
bool decide_end(batch_record& batch, const finalizing& how, std::int64_t now);
/// Throws std::logic_error if its end is not decided.
void end(batch_record& batch, const finished_batch& results, std::int64_t now);

}  // namespace sluice::store
