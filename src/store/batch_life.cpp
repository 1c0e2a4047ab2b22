#include "store/batch_life.hpp"

#include <stdexcept>

namespace sluice::store {

bool cancel(batch_record& batch, std::int64_t now) {
  if (batch.status != batch_status::validating && batch.status != batch_status::in_progress) {
    return false;
  }
  batch.status = batch_status::cancelling;
  batch.cancelling_at = now;
  return true;
}

void accept(batch_record& batch, const accepted_lines& lines, std::int64_t now) {
  batch.progress.counts.total = lines.total;
  batch.model = lines.model;
  if (batch.status != batch_status::validating) return;
  batch.status = batch_status::in_progress;
  batch.in_progress_at = now;
}

void refuse(batch_record& batch, const std::vector<batch_error>& errors, std::int64_t now) {
  batch.errors = errors;
  batch.status = batch_status::failed;
  batch.failed_at = now;
}

bool decide_end(batch_record& batch, const finalizing& how, std::int64_t now) {
  if (batch.end) return false;
  batch.end = how;
  if (batch.status == batch_status::cancelling) return true;
  batch.status = batch_status::finalizing;
  batch.finalizing_at = now;
  return true;
}

void end(batch_record& batch, const finished_batch& results, std::int64_t now) {
  if (!batch.end) throw std::logic_error("a batch was finished before its end was decided");
  batch.progress = results.progress;
  if (results.output) batch.output_file_id = results.output->id;
  if (results.errors) batch.error_file_id = results.errors->id;
  batch.status = batch.end->ending;
  batch.end.reset();
  switch (batch.status) {
    case batch_status::completed:
      batch.completed_at = now;
      return;
    case batch_status::expired:
      batch.expired_at = now;
      return;
    case batch_status::cancelled:
      batch.cancelled_at = now;
      return;
    default:
      throw std::logic_error("a batch does not end like this");
  }
}

}  // namespace sluice::store
