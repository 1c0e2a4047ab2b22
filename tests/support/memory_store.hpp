#pragma once

#include <algorithm>
#include <deque>
#include <functional>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "store/batch_life.hpp"
#include "store/batch_store.hpp"

namespace sluice::test {

/// A store in memory, for tests in virtual time. It is also the model for other stores: it
/// implements batch_store in the simplest way. Not thread safe.
class memory_store final : public store::batch_store {
 public:
  using claim = store::claim;
  using file_record = store::file_record;
  using batch_record = store::batch_record;

  /// Called with the name of a call before it begins ("add_file"), and of a change also after it
  /// ("add_file stored"). It may throw, to simulate a store that cannot be used or whose answer is
  /// lost. Only the calls that concern one file or money, those that create or find a batch, and
  /// those about claims do this.
  std::function<void(std::string_view call)> on_call = [](std::string_view) {};

  void add_file(const file_record& file) override {
    on_call("add_file");
    insert(file);
    on_call("add_file stored");
  }
  std::optional<file_record> find_file(std::string_view owner, std::string_view id) override {
    const auto found = std::ranges::find_if(
        files_, [&](const file_record& file) { return file.owner == owner && file.id == id; });
    return found == files_.end() ? std::nullopt : std::optional(*found);
  }
  store::page<file_record> list_files(std::string_view owner,
                                      const store::file_filter& filter) override {
    std::vector<file_record> own;
    for (const file_record& file : files_) {
      if (file.owner == owner) own.push_back(file);
    }
    return page_of(std::move(own), filter.part, filter.ascending, [&](const file_record& file) {
      return filter.purpose.empty() || file.purpose == filter.purpose;
    });
  }
  bool remove_file(std::string_view owner, std::string_view id) override {
    on_call("remove_file");
    return erase(owner, id);
  }
  std::vector<file_record> remove_expired_files(std::int64_t now, std::size_t most) override {
    std::vector<file_record> expired;
    for (const file_record& file : files_) {
      if (file.expires_at && *file.expires_at <= now) expired.push_back(file);
    }
    std::ranges::stable_sort(expired, {}, &file_record::expires_at);
    if (expired.size() > most) expired.resize(most);
    for (const file_record& file : expired) erase(file.owner, file.id);
    return expired;
  }
  bool has_file(std::string_view id) override {
    on_call("has_file");
    return contains(id);
  }

  bool create_batch(const batch_record& batch) override {
    on_call("create_batch");
    if (!find_file(batch.owner, batch.input_file_id)) return false;
    if (find(batch.id) != nullptr) throw store::store_error(batch.id + " exists");
    batches_.push_back({batch, {}, 0, 0, false});
    on_call("create_batch stored");
    return true;
  }
  std::optional<batch_record> find_batch(std::string_view owner, std::string_view id) override {
    on_call("find_batch");
    const entry* const found = find(id);
    if (found == nullptr || found->record.owner != owner) return std::nullopt;
    return found->record;
  }
  store::page<batch_record> list_batches(std::string_view owner,
                                         const store::page_request& which) override {
    std::vector<batch_record> own;
    for (const entry& each : batches_) {
      if (each.record.owner == owner) own.push_back(each.record);
    }
    return page_of(std::move(own), which, false, [](const batch_record&) { return true; });
  }
  std::optional<batch_record> request_cancel(std::string_view owner, std::string_view id,
                                             std::int64_t now) override {
    entry* const found = find(id);
    if (found == nullptr || found->record.owner != owner) return std::nullopt;
    store::cancel(found->record, now);
    return found->record;
  }
  std::vector<batch_record> open_batches() override {
    std::vector<batch_record> open;
    for (const entry& each : batches_) {
      if (!store::has_ended(each.record.status)) open.push_back(each.record);
    }
    std::ranges::stable_sort(open, {}, &batch_record::created_at);
    return open;
  }
  usd spent_by_others(std::string_view owner, std::string_view batch) override {
    on_call("spent_by_others");
    usd spent;
    for (const entry& each : batches_) {
      if (each.record.owner == owner && each.record.id != batch) {
        spent += each.record.progress.spent;
      }
    }
    return spent;
  }

  usd add_call_spend(std::string_view owner, usd amount) override {
    on_call("add_call_spend");
    return call_spend_[std::string(owner)] += amount;
  }

  std::optional<claim> claim_batch(std::string_view server, const store::skipped_batches& skipped,
                                   std::int64_t now, std::int64_t lease_s) override {
    on_call("claim_batch");
    return claim_first(server, skipped, now, lease_s, [](const batch_record&) { return true; });
  }
  std::optional<claim> claim_ending(std::string_view server, const store::skipped_batches& skipped,
                                    std::int64_t now, std::int64_t lease_s) override {
    return claim_first(server, skipped, now, lease_s, [now](const batch_record& batch) {
      return batch.end || batch.status == store::batch_status::cancelling ||
             batch.expires_at <= now;
    });
  }
  std::optional<batch_record> claimed(const claim& held) override {
    on_call("claimed");
    const entry* const found = find_held(held);
    return found == nullptr ? std::nullopt : std::optional(found->record);
  }
  void renew_claims(std::span<const claim> held, std::int64_t now, std::int64_t lease_s) override {
    on_call("renew_claims");
    for (const claim& each : held) {
      if (entry* const found = find_held(each)) found->lease_until = now + lease_s;
    }
  }
  void release_claims(std::string_view server) override {
    for (entry& each : batches_) {
      if (each.server == server) each.server.clear();
    }
  }
  void release(const claim& held) override {
    on_call("release");
    if (entry* const found = find_held(held)) found->server.clear();
  }
  bool claim_owner(const claim& held, std::int64_t now) override {
    on_call("claim_owner");
    entry* const found = find_held(held);
    if (found == nullptr) return false;
    for (const entry& each : batches_) {
      if (&each != found && each.record.owner == found->record.owner && each.sole &&
          !each.server.empty() && each.lease_until > now) {
        return false;
      }
    }
    found->sole = true;
    return true;
  }

  bool accept_lines(const claim& held, const store::accepted_lines& lines,
                    std::int64_t now) override {
    return change(held, [&](batch_record& batch) { store::accept(batch, lines, now); });
  }
  bool refuse_lines(const claim& held, const std::vector<store::batch_error>& errors,
                    std::int64_t now) override {
    const bool refused =
        change(held, [&](batch_record& batch) { store::refuse(batch, errors, now); });
    on_call("refuse_lines stored");
    return refused;
  }
  bool save_progress(const claim& held, const store::batch_progress& progress) override {
    return change(held, [&](batch_record& batch) { batch.progress = progress; });
  }
  bool begin_finalizing(const claim& held, const store::finalizing& how,
                        std::int64_t now) override {
    return change(held, [&](batch_record& batch) { store::decide_end(batch, how, now); });
  }
  bool finish(const claim& held, const store::finished_batch& results, std::int64_t now) override {
    const bool finished = change(held, [&](batch_record& batch) {
      store::end(batch, results, now);
      for (const auto& added : {results.output, results.errors}) {
        if (added && contains(added->id)) throw store::store_error(added->id + " exists");
      }
      if (results.output) insert(*results.output);
      if (results.errors) insert(*results.errors);
    });
    on_call("finish stored");
    return finished;
  }

  bool announce(const claim& held, std::int64_t now) override {
    if (find_held(held) == nullptr) return false;
    announcements_.emplace(held.batch, pending{0, now});
    return true;
  }
  std::optional<store::announcement> next_announcement(std::int64_t now,
                                                       std::int64_t again_at) override {
    const batch_record* oldest = nullptr;
    pending* chosen = nullptr;
    for (auto& [id, each] : announcements_) {
      const entry* const batch = find(id);
      if (each.due_at > now || !store::has_ended(batch->record.status)) continue;
      if (chosen != nullptr && chosen->due_at <= each.due_at) continue;
      chosen = &each;
      oldest = &batch->record;
    }
    if (chosen == nullptr) return std::nullopt;
    chosen->due_at = again_at;
    return store::announcement{*oldest, ++chosen->tries};
  }
  void settle_announcement(std::string_view batch, std::optional<std::int64_t> again_at) override {
    const auto found = announcements_.find(batch);
    if (found == announcements_.end()) return;
    if (again_at) {
      found->second.due_at = *again_at;
    } else {
      announcements_.erase(found);
    }
  }

 private:
  struct pending {
    unsigned tries = 0;
    std::int64_t due_at = 0;
  };
  struct entry {
    batch_record record;
    std::string server;  // the server that works on the batch; empty: none
    std::uint64_t epoch = 0;
    std::int64_t lease_until = 0;
    bool sole = false;  // true: no server may work on another batch of this owner
  };

  template <typename Wanted>
  std::optional<claim> claim_first(std::string_view server, const store::skipped_batches& skipped,
                                   std::int64_t now, std::int64_t lease_s, Wanted wanted) {
    entry* best = nullptr;
    for (entry& each : batches_) {
      const batch_record& record = each.record;
      if (store::has_ended(record.status) || !wanted(record)) continue;
      if (!each.server.empty() && each.lease_until > now) continue;
      if (std::ranges::find(skipped.ids, record.id) != skipped.ids.end()) continue;
      if (std::ranges::find(skipped.owners, record.owner) != skipped.owners.end()) continue;
      if (best != nullptr && record.priority < best->record.priority) continue;
      if (best != nullptr && record.priority == best->record.priority &&
          record.created_at >= best->record.created_at) {
        continue;
      }
      best = &each;
    }
    if (best == nullptr) return std::nullopt;
    best->server = server;
    best->sole = false;
    best->lease_until = now + lease_s;
    return claim{best->record.id, ++best->epoch};
  }

  bool contains(std::string_view id) const {
    return std::ranges::find(files_, id, &file_record::id) != files_.end();
  }
  void insert(const file_record& file) {
    if (contains(file.id)) throw store::store_error(file.id + " exists");
    files_.push_back(file);
  }
  bool erase(std::string_view owner, std::string_view id) {
    return std::erase_if(files_, [&](const file_record& file) {
             return file.owner == owner && file.id == id;
           }) > 0;
  }

  entry* find(std::string_view id) {
    const auto found =
        std::ranges::find_if(batches_, [&](const entry& each) { return each.record.id == id; });
    return found == batches_.end() ? nullptr : &*found;
  }
  entry* find_held(const claim& held) {
    entry* const found = find(held.batch);
    const bool holds = found != nullptr && !found->server.empty() && found->epoch == held.epoch;
    return holds ? found : nullptr;
  }

  template <typename Change>
  bool change(const claim& held, Change how) {
    entry* const found = find_held(held);
    if (found == nullptr) return false;
    batch_record changed = found->record;
    how(changed);
    found->record = changed;
    if (store::has_ended(found->record.status)) found->server.clear();
    return true;
  }

  // One page of the owner's records. `own` has the records in the order of insertion.
  template <typename Record, typename Wanted>
  static store::page<Record> page_of(std::vector<Record> own, const store::page_request& part,
                                     bool ascending, Wanted wanted) {
    std::ranges::stable_sort(own, {}, &Record::created_at);
    if (!ascending) std::ranges::reverse(own);
    store::page<Record> page;
    auto from = own.begin();
    if (!part.after.empty()) {
      from = std::ranges::find(own, part.after, &Record::id);
      if (from == own.end()) return page;
      ++from;
    }
    for (; from != own.end(); ++from) {
      if (!wanted(*from)) continue;
      page.has_more = page.records.size() == part.limit;
      if (page.has_more) break;
      page.records.push_back(*from);
    }
    return page;
  }

  std::map<std::string, usd> call_spend_;                      // by owner
  std::map<std::string, pending, std::less<>> announcements_;  // by id of the batch
  std::deque<file_record> files_;
  std::deque<entry> batches_;
};

}  // namespace sluice::test
