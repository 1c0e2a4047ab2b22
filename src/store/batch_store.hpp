#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "store/batch_record.hpp"
#include "store/file_record.hpp"

namespace sluice::store {

/// A server's claim to work on a batch. Every write for the batch names the claim. Once another
/// server has taken the batch over, such writes are refused.
struct claim {
  std::string batch;        ///< id of the batch
  std::uint64_t epoch = 0;  ///< grows with each claim of this batch

  bool operator==(const claim&) const = default;
};

/// The batches that are left out when a batch is claimed.
struct skipped_batches {
  std::vector<std::string> ids;
  std::vector<std::string> owners;  ///< all batches of these owners
};

/// An announcement to a webhook that a batch has ended.
struct announcement {
  batch_record batch;
  unsigned tries = 0;  ///< number of tries, including the one that begins now

  bool operator==(const announcement&) const = default;
};

/// Stores the files and batches of servers, and which server works on which batch. Thread safe: one
/// call runs at a time, the others wait. Each call is one transaction and blocks until its changes
/// are on disk, so do not call it on the event loop. Several servers may share one store.
///
/// All times are whole Unix seconds; the caller passes `now`. A record belongs to its `owner`, the
/// name of an API key of the server. A call with another owner does not find the record. An id is
/// unique over all owners. Texts are valid UTF-8 without NUL characters.
///
/// Every call throws store_error if the store cannot be used, and if a record to add has an id that
/// already exists. Then the call has changed nothing, with one exception: if the error occurred
/// while the change was being written to disk, either the whole change is stored or nothing.
class batch_store {
 public:
  virtual ~batch_store() = default;

  // Files. The store has the records of files, not their bytes.

  virtual void add_file(const file_record& file) = 0;
  virtual std::optional<file_record> find_file(std::string_view owner, std::string_view id) = 0;
  virtual page<file_record> list_files(std::string_view owner, const file_filter& filter) = 0;
  /// Returns false if the owner has no such file.
  virtual bool remove_file(std::string_view owner, std::string_view id) = 0;
  /// Removes up to `most` files that expired at `now` or before, and returns them.
  virtual std::vector<file_record> remove_expired_files(std::int64_t now, std::size_t most) = 0;
  /// Returns whether a file of any owner has this id. Bytes without a record are left from a crash.
  virtual bool has_file(std::string_view id) = 0;

  // Batches, from the view of their owners.

  /// Stores a new batch that waits for a claim. Its input file must exist. If the file was removed
  /// meanwhile, it stores nothing and returns false.
  virtual bool create_batch(const batch_record& batch) = 0;
  virtual std::optional<batch_record> find_batch(std::string_view owner, std::string_view id) = 0;
  /// Newest first.
  virtual page<batch_record> list_batches(std::string_view owner, const page_request& which) = 0;
  /// Requests the end of a batch. A batch that is validating or in progress becomes `cancelling`;
  /// any other batch stays unchanged. Returns the batch after the change; nothing if the owner has
  /// no such batch.
  virtual std::optional<batch_record> request_cancel(std::string_view owner, std::string_view id,
                                                     std::int64_t now) = 0;
  /// Returns the batches of all owners that have not ended, oldest first.
  virtual std::vector<batch_record> open_batches() = 0;
  /// Returns the sum of `spent` over the owner's batches, except `batch`. Amounts are exact.
  virtual usd spent_by_others(std::string_view owner, std::string_view batch) = 0;

  // Single calls of the owners, separate from their batches.

  /// Adds `amount` to the cost of the owner's calls, and returns the new sum. The amount is
  /// negative if a reservation was larger than the cost. Amounts are exact.
  virtual usd add_call_spend(std::string_view owner, usd amount) = 0;

  // Work on batches.

  /// Claims a batch for `lease_s` seconds. It takes a batch that has not ended and on which no
  /// server works: the highest priority first, then the oldest. It ignores the batches that
  /// `skipped` names. Returns nothing if there is no such batch. If the lease of a claim has
  /// expired, the batch may be claimed again; so another server replaces a server that died.
  virtual std::optional<claim> claim_batch(std::string_view server, const skipped_batches& skipped,
                                           std::int64_t now, std::int64_t lease_s) = 0;
  /// Like claim_batch(), but takes only a batch that has nothing left to do but to end: it is being
  /// cancelled, it has expired at `now`, or its end is decided.
  virtual std::optional<claim> claim_ending(std::string_view server, const skipped_batches& skipped,
                                            std::int64_t now, std::int64_t lease_s) = 0;
  /// Returns the batch of a claim in its current state; nothing if the claim is lost.
  virtual std::optional<batch_record> claimed(const claim& held) = 0;
  /// Extends the leases of these claims, except those that are lost. Name only claims of batches
  /// that the server works on. The lease of any other claim ends, even if the server does not know
  /// of the claim because the answer to its call was lost; then the batch is free again.
  virtual void renew_claims(std::span<const claim> held, std::int64_t now,
                            std::int64_t lease_s) = 0;
  /// Ends all claims of the server. The server calls it at its start, when no other process can
  /// have its name, and at its end.
  virtual void release_claims(std::string_view server) = 0;
  virtual void release(const claim& held) = 0;
  /// For an owner that must not run two batches at the same time: allows the batch of this claim to
  /// run. Returns false if the claim is lost, or if another server runs a batch of this owner. A
  /// store that only one server uses does not check this, because the server itself knows which
  /// batches it runs.
  virtual bool claim_owner(const claim& held, std::int64_t now) = 0;

  // Each of the following functions returns false, and changes nothing, if the claim is lost.

  /// All lines of the batch are valid: a validating batch becomes `in_progress`. A batch that is
  /// being cancelled stays `cancelling`.
  virtual bool accept_lines(const claim& held, const accepted_lines& lines, std::int64_t now) = 0;
  /// Some lines of the batch are not valid: the batch fails, and the claim ends.
  virtual bool refuse_lines(const claim& held, const std::vector<batch_error>& errors,
                            std::int64_t now) = 0;
  /// Stores counts, usage and cost of a batch that continues.
  virtual bool save_progress(const claim& held, const batch_progress& progress) = 0;
  /// All requests have ended, or no more may start. A batch that is validating or in progress
  /// becomes `finalizing`; one that is being cancelled stays `cancelling`. This decides how the
  /// batch ends (`ending`) and the ids of its result files, even if another server writes them. If
  /// this was decided before, the first decision stays; claimed() returns it.
  virtual bool begin_finalizing(const claim& held, const finalizing& how, std::int64_t now) = 0;
  /// The result files are complete: adds them to the files, and ends the batch and the claim.
  /// Throws std::logic_error if the end was not decided (begin_finalizing).
  virtual bool finish(const claim& held, const finished_batch& end, std::int64_t now) = 0;

  // Webhooks.

  /// Requests an announcement for the time when the batch has ended. Does nothing if the request is
  /// already stored.
  virtual bool announce(const claim& held, std::int64_t now) = 0;
  /// Begins a try of the oldest due announcement of a batch that has ended. Returns nothing if none
  /// is due. The announcement is due again at `again_at`, unless settle_announcement() changes
  /// that. So only one server at a time handles an announcement, and if that server dies, another
  /// one tries again.
  virtual std::optional<announcement> next_announcement(std::int64_t now,
                                                        std::int64_t again_at) = 0;
  /// Ends a try. `again_at`: the time of the next try; nothing if there is no other.
  virtual void settle_announcement(std::string_view batch,
                                   std::optional<std::int64_t> again_at) = 0;
};

}  // namespace sluice::store
