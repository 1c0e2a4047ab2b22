#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "store/batch_record.hpp"
#include "store/file_record.hpp"

namespace sluice::store {

/// A batch that one server works on. Every write for it names the claim, and is refused once
/// another server has taken the batch over.
struct claim {
  std::string batch;        ///< id of the batch
  std::uint64_t epoch = 0;  ///< grows with each claim of this batch

  bool operator==(const claim&) const = default;
};

/// A batch whose end a webhook is to announce.
struct announcement {
  batch_record batch;
  unsigned tries = 0;  ///< including the one that begins now

  bool operator==(const announcement&) const = default;
};

/// The files and batches of a server, and who works on which batch. Each call is one transaction,
/// which is on disk when it returns; it blocks until then, so do not call it on the event loop.
/// Thread safe: one call at a time, the others wait. Several servers may share one store.
///
/// All times are whole Unix seconds, and `now` is the caller's. A record belongs to its `owner`,
/// the name of an API key of the server; a call with another owner does not find it. An id names
/// one record, for all owners. Texts are valid UTF-8 without NUL characters.
///
/// Every call throws store_error if the store cannot be used, and if a record to add has an id that
/// exists. It has changed nothing then, unless the error came while the disk was asked to keep the
/// change: then all of it may be found later, or nothing.
class batch_store {
 public:
  virtual ~batch_store() = default;

  // Files. The store holds what is known of a file, not its bytes.

  virtual void add_file(const file_record& file) = 0;
  virtual std::optional<file_record> find_file(std::string_view owner, std::string_view id) = 0;
  virtual page<file_record> list_files(std::string_view owner, const file_filter& filter) = 0;
  /// False: the owner has no such file.
  virtual bool remove_file(std::string_view owner, std::string_view id) = 0;
  /// Removes up to `most` files that expired at `now` or before, and returns them.
  virtual std::vector<file_record> remove_expired_files(std::int64_t now, std::size_t most) = 0;
  /// Whether a file of any owner has this id: bytes without a record are left from a crash.
  virtual bool has_file(std::string_view id) = 0;

  // Batches, as their owners see them.

  /// Stores a new batch, which waits to be claimed. Its input file must exist: false, and nothing
  /// is stored, if it was removed meanwhile.
  virtual bool create_batch(const batch_record& batch) = 0;
  virtual std::optional<batch_record> find_batch(std::string_view owner, std::string_view id) = 0;
  /// Newest first.
  virtual page<batch_record> list_batches(std::string_view owner, const page_request& which) = 0;
  /// Asks for the end of a batch. A batch that is validating or in progress becomes `cancelling`;
  /// any other stays as it is. Returns the batch as it is now; nothing: the owner has no such
  /// batch.
  virtual std::optional<batch_record> request_cancel(std::string_view owner, std::string_view id,
                                                     std::int64_t now) = 0;
  /// The batches of all owners that have not ended; oldest first.
  virtual std::vector<batch_record> open_batches() = 0;
  /// What the owner's batches cost, apart from one: the `spent` of each. Amounts are exact.
  virtual usd spent_by_others(std::string_view owner, std::string_view batch) = 0;

  // Single calls of the owners, apart from their batches.

  /// Adds to what the owner's calls have cost, and returns the new sum; below zero: a reservation
  /// was larger than the cost. Amounts are exact.
  virtual usd add_call_spend(std::string_view owner, usd amount) = 0;

  // Work on batches.

  /// Claims a batch that has not ended and that no server works on, for `lease_s` seconds: the
  /// highest priority first, then the oldest. Batches in `skipped` are left alone. Nothing: there
  /// is none. A claim whose lease ran out is free to be taken, so a server that died is replaced.
  virtual std::optional<claim> claim_batch(std::string_view server,
                                           const std::vector<std::string>& skipped,
                                           std::int64_t now, std::int64_t lease_s) = 0;
  /// The batch of a claim, as it is now; nothing if the claim is lost.
  virtual std::optional<batch_record> claimed(const claim& held) = 0;
  /// Extends the leases of all claims of the server that still hold.
  virtual void renew_claims(std::string_view server, std::int64_t now, std::int64_t lease_s) = 0;
  /// Ends all claims of the server: at its start, when it is known that no other process has its
  /// name, and at its end.
  virtual void release_claims(std::string_view server) = 0;
  virtual void release(const claim& held) = 0;
  /// For an owner whose batches must not run at the same time: makes this claim the one that may
  /// run. False: the claim is lost, or that of another server on a batch of this owner may run. A
  /// store that one server uses alone has no other, and the server itself knows what it runs.
  virtual bool claim_owner(const claim& held, std::int64_t now) = 0;

  // Each of these returns false, and changes nothing, if the claim is lost.

  /// The lines of the batch are good: a batch that was validating is in progress now; one that is
  /// being cancelled stays so.
  virtual bool accept_lines(const claim& held, const accepted_lines& lines, std::int64_t now) = 0;
  /// The lines of the batch are not good: it has failed, and the claim has ended.
  virtual bool refuse_lines(const claim& held, const std::vector<batch_error>& errors,
                            std::int64_t now) = 0;
  /// Stores counts, usage and cost of a batch that goes on.
  virtual bool save_progress(const claim& held, const batch_progress& progress) = 0;
  /// All requests have ended, or none may start any more: a batch that is validating or in progress
  /// becomes `finalizing`, one that is being cancelled stays `cancelling`. From now on `ending` is
  /// how it ends, and the ids are those of its result files, also if another server writes them. If
  /// that was decided before, the first decision stays: claimed() has it.
  virtual bool begin_finalizing(const claim& held, const finalizing& how, std::int64_t now) = 0;
  /// The result files are complete: adds them to the files, and ends the batch and the claim. The
  /// end must be decided (begin_finalizing); otherwise std::logic_error.
  virtual bool finish(const claim& held, const finished_batch& end, std::int64_t now) = 0;

  // Webhooks.

  /// The end of the batch is to be announced once it has ended. Does nothing if that is stored.
  virtual bool announce(const claim& held, std::int64_t now) = 0;
  /// Begins a try of the announcement that waits longest, of a batch that has ended: it is due
  /// again at `again_at`, unless settle_announcement() says something else. So each has one server
  /// at a time, and that of a server that died is tried again. Nothing: none is due.
  virtual std::optional<announcement> next_announcement(std::int64_t now,
                                                        std::int64_t again_at) = 0;
  /// The try has ended. `again_at`: when the next one is due; nothing: there is no other.
  virtual void settle_announcement(std::string_view batch,
                                   std::optional<std::int64_t> again_at) = 0;
};

}  // namespace sluice::store
