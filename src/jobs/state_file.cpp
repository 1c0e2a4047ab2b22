#include "jobs/state_file.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <iterator>
#include <nlohmann/json.hpp>
#include <utility>

#include "base/translated_error.hpp"
#include "jobs/own_files.hpp"
#include "jobs/result_line.hpp"
#include "jobs/stored_line.hpp"
#include "json/text.hpp"
#include "sluice/error.hpp"

namespace sluice {
namespace {

using nlohmann::json;

std::optional<hash128> parse_hash(const json& value) {
  if (!value.is_string()) return std::nullopt;
  const std::string_view text = value.get_ref<const std::string&>();
  if (text.size() != 32) return std::nullopt;
  hash128 hash;
  for (auto [half, at] : {std::pair{&hash.high, 0}, std::pair{&hash.low, 16}}) {
    const char* begin = text.data() + at;
    const auto [end, error] = std::from_chars(begin, begin + 16, *half, 16);
    if (error != std::errc() || end != begin + 16) return std::nullopt;
  }
  return hash;
}

std::optional<usd> parse_usd(const json& value) {
  return value.is_string() ? usd::parse(value.get_ref<const std::string&>()) : std::nullopt;
}

std::string_view name_of(attempt_end how) {
  switch (how) {
    case attempt_end::unsent:
      return "unsent";
    case attempt_end::answered:
      return "answered";
    case attempt_end::given_up:
      return "given_up";
    case attempt_end::unpriced:
      return "unpriced";
    case attempt_end::lost:
      break;
  }
  return "lost";
}

constexpr std::string_view rejected_end = "rejected";

std::optional<attempt_end> end_named(std::string_view name) {
  for (const auto how : {attempt_end::unsent, attempt_end::answered, attempt_end::given_up,
                         attempt_end::unpriced, attempt_end::lost}) {
    if (name_of(how) == name) return how;
  }
  return std::nullopt;
}

}  // namespace

bool state_file::load() {
  require_ours(files_, path_, begins_as_state);
  const auto text = read_file(files_, path_);
  if (!text) return false;
  std::size_t begin = 0;
  for (std::size_t end = 0; (end = text->find('\n', begin)) != std::string::npos; begin = end + 1) {
    const auto line = std::string_view(*text).substr(begin, end - begin);
    if (!(begin == 0 ? read_summary(line) : read_record(line))) damaged_ = true;
  }  // a torn record after the last newline is ignored: its attempt was not sent yet
  if (begin == 0) damaged_ = true;
  return true;
}

bool state_file::read_summary(std::string_view line) {
  const json summary = json::parse(line, nullptr, false);
  if (!summary.is_object()) return false;
  const auto read = [&](std::uint64_t& counter, const char* name) {
    const auto found = summary.find(name);
    if (found != summary.end() && found->is_number_unsigned()) counter = *found;
  };
  read(counters_.attempts, "attempts");
  read(counters_.retries, "retries");
  read(counters_.maybe_billed_attempts, "maybe_billed_attempts");
  read(counters_.max_requests_in_60s, "max_requests_in_60s");
  if (const auto wall = summary.find("wall_s"); wall != summary.end() && wall->is_number()) {
    counters_.wall_s = *wall;
  }
  if (const auto rpm = summary.find("rpm"); rpm != summary.end() && rpm->is_number_unsigned()) {
    counters_.rpm = *rpm;
  }
  if (const auto told = summary.find("simulated"); told != summary.end() && told->is_boolean()) {
    was_simulated_ = told->get<bool>();
  }
  for (const auto& [amount, name] :
       {std::pair{&counters_.kept, "kept_usd"}, std::pair{&counters_.taken, "taken_usd"}}) {
    const auto found = summary.find(name);
    if (found == summary.end()) continue;
    const auto parsed = parse_usd(*found);
    if (!parsed) return false;
    *amount = *parsed;
  }
  if (const auto rows = summary.find("unfinished"); rows != summary.end()) {
    for (const json& row : *rows) {
      if (!row.is_array() || row.size() < 2 || !row[1].is_number_unsigned()) return false;
      const auto id = parse_hash(row[0]);
      if (!id) return false;
      unfinished told;
      told.attempts = row[1];
      if (row.size() > 2 && !row[2].is_null()) {
        const auto reserved = parse_usd(row[2]);
        if (!reserved) return false;
        told.open = true;
        told.reserved = *reserved;
      }
      if (row.size() > 3) {
        const auto kept = parse_usd(row[3]);
        if (!kept) return false;
        told.kept = *kept;
      }
      if (row.size() > 4) {
        const json& told_of = row[4];
        if (!told_of.is_object() || !told_of.contains("model") || !told_of["model"].is_string() ||
            !told_of.contains("replies"))
          return false;
        told.model = told_of["model"];
        for (const json& reply : told_of["replies"])
          told.rejected.push_back(parse_rejected(json_line(reply)));
      }
      unfinished_[key(*id)] = told;
    }
  }
  if (const auto output = summary.find("output"); output != summary.end()) {
    if (!output->is_string()) return false;
    if (*output != output_) {
      throw fatal_error(
          fatal_error::kind::cannot_start,
          fmt::format(
              "{}: belongs to the results in {}, which are not finished; finish them first, "
              "or choose another name with -o",
              path_, output->get<std::string>()));
    }
    records_output_ = true;
  }
  const auto identity = summary.find("identity");
  if (identity == summary.end() || !identity->is_string()) return false;
  identity_ = *identity;
  return true;
}

bool state_file::read_record(std::string_view line) {
  const json record = json::parse(line, nullptr, false);
  if (!record.is_object()) return false;
  if (const auto start = record.find("start"); start != record.end()) {
    const auto id = parse_hash(*start);
    const auto attempt = record.find("attempt");
    if (!id || attempt == record.end() || !attempt->is_number_unsigned()) return false;
    usd reserved;
    if (const auto amount = record.find("reserved_usd"); amount != record.end()) {
      const auto parsed = parse_usd(*amount);
      if (!parsed) return false;
      reserved = *parsed;
    }
    begin_attempt(*id, *attempt, reserved);
    ++counters_.attempts;
    if (*attempt > 1) ++counters_.retries;
    return true;
  }
  const auto end = record.find("end");
  const auto how = record.find("how");
  if (end == record.end() || how == record.end() || !how->is_string()) return false;
  const auto id = parse_hash(*end);
  if (*how == rejected_end) {
    const auto keep = parse_usd(record.value("kept_usd", json("0")));
    const auto model = record.find("model");
    const auto reply = record.find("reply");
    if (!id || !keep || model == record.end() || !model->is_string() || reply == record.end())
      return false;
    if (const auto found = unfinished_.find(key(*id)); found != unfinished_.end())
      apply_rejected(found->second, *model, parse_rejected(reply->dump()), *keep);
    return true;
  }
  const auto told = end_named(how->get_ref<const std::string&>());
  if (!id || !told) return false;
  usd line_cost;
  if (const auto amount = record.find("line_usd"); amount != record.end()) {
    const auto parsed = parse_usd(*amount);
    if (!parsed) return false;
    line_cost = *parsed;
  }
  if (const auto found = unfinished_.find(key(*id)); found != unfinished_.end()) {
    apply_end(found->second, key(*id), *told, line_cost);
  }
  return true;
}

void state_file::begin_attempt(const hash128& id, std::uint32_t number, usd reserved) {
  unfinished& request = unfinished_[key(id)];
  request.attempts = number;
  request.open = true;
  request.has_result = false;
  request.reserved = reserved;
  request.line_cost = {};
}

void state_file::apply_end(unfinished& request, const id_key& id, attempt_end how, usd line_cost) {
  request.open = false;
  request.has_result = how == attempt_end::unpriced;
  const usd reserved = std::exchange(request.reserved, {});
  if (how == attempt_end::lost) ++counters_.maybe_billed_attempts;
  if (keeps_reservation(how)) {
    request.line_cost = line_cost;
    counters_.kept += reserved;
    counters_.kept -= line_cost;
    request.kept += reserved;
    request.kept -= line_cost;
  }
  if (how != attempt_end::unsent) return;
  --counters_.attempts;
  if (request.attempts > 1) --counters_.retries;
  if (--request.attempts == 0) unfinished_.erase(id);
}

void state_file::apply_rejected(unfinished& request, std::string model, rejected_reply reply,
                                usd keep) {
  request.open = false;
  request.has_result = false;
  request.reserved = {};
  request.kept += keep;
  counters_.kept += keep;
  request.model = std::move(model);
  request.rejected.push_back(std::move(reply));
}

bool state_file::has_unfinished(const std::function<bool(const hash128&)>& counts) const {
  return std::any_of(unfinished_.begin(), unfinished_.end(), [&](const auto& one) {
    return counts({one.first.first, one.first.second});
  });
}

void state_file::for_each_rejected(const std::function<void(const hash128&, const std::string&,
                                                            const rejected_reply&)>& visit) const {
  for (const auto& [id, request] : unfinished_) {
    for (const rejected_reply& reply : request.rejected) {
      visit({id.first, id.second}, request.model, reply);
    }
  }
}

void state_file::keep_rejected(const std::function<bool(const hash128&)>& is_gone) {
  for (auto& [id, request] : unfinished_) {
    if (!is_gone({id.first, id.second})) continue;
    for (const rejected_reply& reply : request.rejected) {
      counters_.kept += reply.cost.value_or(usd{});
      request.kept += reply.cost.value_or(usd{});
    }
    request.rejected.clear();
  }
}

const state_file::unfinished* state_file::find(const hash128& id) const {
  const auto found = unfinished_.find(key(id));
  return found == unfinished_.end() ? nullptr : &found->second;
}

usd state_file::kept_for_unfinished() const {
  usd sum;
  for (const auto& [id, request] : unfinished_) sum += request.kept;
  return sum;
}

void state_file::reconcile(const std::function<line_told(const hash128& id)>& lines) {
  for (auto at = unfinished_.begin(); at != unfinished_.end();) {
    const auto next = std::next(at);
    const line_told line = lines({at->first.first, at->first.second});
    if (at->second.attempts <= line.attempts) {
      if (at->second.open && line.last_end) apply_end(at->second, at->first, *line.last_end);
      unfinished_.erase(at);
    } else if (at->second.open) {
      apply_end(at->second, at->first, attempt_end::lost);
    } else if (std::exchange(at->second.has_result, false)) {
      // The line was lost, and with it the cost that it contained.
      ++counters_.maybe_billed_attempts;
      at->second.kept += at->second.line_cost;
      counters_.kept += std::exchange(at->second.line_cost, {});
    }
    at = next;
  }
}

void state_file::started(const hash128& id, std::uint32_t attempt, usd reserved) {
  begin_attempt(id, attempt, reserved);
  ++counters_.attempts;
  if (attempt > 1) ++counters_.retries;
  const hex_digits hash(id);
  const fmt::format_int number(attempt);
  unwritten_.append(R"({"start":")").append(hash).append(R"(","attempt":)");
  unwritten_.append(number.data(), number.size());
  if (reserved != usd{})
    unwritten_.append(R"(,"reserved_usd":")").append(reserved.to_string()).append("\"");
  unwritten_.append("}\n");
}

void state_file::ended(const hash128& id, attempt_end how, usd line_cost) {
  const auto found = unfinished_.find(key(id));
  if (found == unfinished_.end() || !found->second.open) return;
  line_cost = std::min(line_cost, found->second.reserved);
  const std::string told =
      line_cost == usd{} ? "" : fmt::format(",\"line_usd\":\"{}\"", line_cost.to_string());
  unwritten_ += fmt::format("{{\"end\":\"{}\",\"how\":\"{}\"{}}}\n",
                            std::string_view(hex_digits(id)), name_of(how), told);
  apply_end(found->second, key(id), how, line_cost);
}

void state_file::rejected(const hash128& id, const std::string& model, const rejected_reply& reply,
                          usd keep) {
  const auto found = unfinished_.find(key(id));
  if (found == unfinished_.end() || !found->second.open) return;
  const std::string kept =
      keep == usd{} ? "" : fmt::format(",\"kept_usd\":\"{}\"", keep.to_string());
  unwritten_ += fmt::format("{{\"end\":\"{}\",\"how\":\"{}\"{},\"model\":{},\"reply\":{}}}\n",
                            std::string_view(hex_digits(id)), rejected_end, kept, json_quote(model),
                            rejected_json(reply));
  apply_rejected(found->second, model, reply, keep);
}

void state_file::cannot_write(const std::error_code& why) const {
  throw translated_error(fatal_error::kind::cannot_write,
                         worded("{}: cannot record what is sent ({}); make room or fix the disk, "
                                "and run the same command again",
                                path_, why.message()));
}

void state_file::write_records() {
  if (unwritten_.empty()) return;
  std::error_code error;
  if (torn_) error = file_->truncate(size_);
  if (!error) {
    const std::size_t written = file_->append(unwritten_, error);
    if (written == unwritten_.size()) {
      torn_ = false;
      size_ += written;
      if (writing_) since_ += unwritten_;
      unwritten_.clear();
      return;
    }
    torn_ = static_cast<bool>(file_->truncate(size_));
  }
  cannot_write(error);
}

std::string state_file::summary() const {
  json rows = json::array();
  for (const auto& [id, request] : unfinished_) {
    const hex_digits hash(hash128{id.first, id.second});
    json row = {std::string(std::string_view(hash)), request.attempts};
    const bool rejected = !request.rejected.empty();
    if (request.open || rejected || request.kept != usd{}) {
      row.push_back(request.open ? json(request.reserved.to_string()) : json(nullptr));
    }
    if (rejected || request.kept != usd{}) row.push_back(request.kept.to_string());
    if (rejected) {
      json replies = json::array();
      for (const rejected_reply& reply : request.rejected)
        replies.push_back(json::parse(rejected_json(reply)));
      row.push_back({{"model", request.model}, {"replies", std::move(replies)}});
    }
    rows.push_back(std::move(row));
  }
  json told = {{"output", output_},
               {"identity", identity_},
               {"attempts", counters_.attempts},
               {"retries", counters_.retries},
               {"simulated", simulated_},
               {"maybe_billed_attempts", counters_.maybe_billed_attempts},
               {"max_requests_in_60s", counters_.max_requests_in_60s},
               {"wall_s", counters_.wall_s},
               {"unfinished", std::move(rows)}};
  if (counters_.kept != usd{}) told["kept_usd"] = counters_.kept.to_string();
  if (counters_.rpm) told["rpm"] = *counters_.rpm;
  if (counters_.taken != usd{}) told["taken_usd"] = counters_.taken.to_string();
  std::string text(state_mark);
  text.append(json_line(told), 1).push_back('\n');
  return text;
}

state_file::rewrite state_file::begin_writing() {
  write_records();  // otherwise they would be missing in the old file until the new one replaces it
  rewrite fresh;
  fresh.files_ = &files_;
  fresh.shown_ = path_;
  fresh.target_ = files_.resolved(path_);
  fresh.summary_ = summary();
  since_.clear();
  writing_ = true;
  return fresh;
}

void state_file::rewrite::write_beside() {
  require_ours(*files_, shown_, begins_as_state, fatal_error::kind::cannot_write);
  std::error_code error;
  file_ = create_temporary_for(*files_, target_, begins_as_unplaced_state, fresh_, error);
  if (!error) size_ = file_->append(summary_, error);
  if (!error) error = file_->sync();
  if (!error) return;
  if (file_) (void)files_->remove(fresh_);
  throw translated_error(fatal_error::kind::cannot_write,
                         worded("{}: cannot be written ({}); make room or fix the disk, and run "
                                "the same command again",
                                shown_, error.message()));
}

bool state_file::catch_up(rewrite& fresh) {
  if (since_.empty()) return false;
  std::error_code error;
  fresh.size_ += fresh.file_->append(since_, error);
  if (error) {
    (void)files_.remove(fresh.fresh_);
    cannot_write(error);
  }
  since_.clear();
  return true;
}

void state_file::place(rewrite& fresh) {
  (void)catch_up(fresh);
  if (const auto error = files_.rename(fresh.fresh_, fresh.target_)) {
    (void)files_.remove(fresh.fresh_);
    cannot_write(error);
  }
  file_ = std::move(fresh.file_);
  size_ = fresh.size_;
  written_ = hash_of(fresh.summary_);
  summary_size_ = fresh.summary_.size();
  torn_ = false;
}

void state_file::write() {
  write_without_folder_sync();
  sync_folder();
}

void state_file::write_without_folder_sync() {
  rewrite fresh = begin_writing();
  end_writing();  // no other thread writes at this time
  replace(fresh);
}

bool state_file::is_current() const {
  // A file with records is not compared: the summary may be big.
  if (file_ == nullptr || torn_ || !unwritten_.empty() || size_ != summary_size_) return false;
  return written_ == hash_of(summary());
}

void state_file::restore(std::string content) {
  rewrite fresh = begin_writing();
  end_writing();
  fresh.summary_ = std::move(content);
  replace(fresh);
  sync_folder();
}

void state_file::replace(rewrite& fresh) {
  fresh.write_beside();
  place(fresh);
}

void state_file::sync_folder() {
  if (const auto error = files_.sync_folder_of(files_.resolved(path_))) cannot_write(error);
}

void state_file::start_over(std::string identity, usd kept) {
  unfinished_.clear();
  counters_ = {};
  counters_.kept = kept;
  identity_ = std::move(identity);
}

std::error_code state_file::remove() {
  file_.reset();
  const std::string behind = files_.resolved(path_);
  const std::error_code error = files_.remove(behind);
  if (error == std::errc::no_such_file_or_directory) return {};
  return error ? error : files_.sync_folder_of(behind);
}

}  // namespace sluice
