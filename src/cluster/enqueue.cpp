#include "cluster/enqueue.hpp"

#include <fmt/format.h>

#include <filesystem>
#include <random>
#include <utility>
#include <vector>

#include "base/hash.hpp"
#include "base/id_table.hpp"
#include "base/refuse.hpp"
#include "cluster/chunk_rules.hpp"
#include "cluster/packed_requests.hpp"
#include "jobs/job_input.hpp"
#include "jobs/job_reader.hpp"
#include "jobs/result_line.hpp"

namespace sluice::cluster {
namespace {

// Limit for the request bodies in one block.
constexpr std::size_t most_block_bytes = std::size_t{8} << 20;

struct file_scan {
  std::uint64_t lines = 0;
  std::uint64_t bad_lines = 0;
  std::string hash;
};

// Checks each line of a job. A line is bad if an earlier line has the same id.
class checked_lines {
 public:
  checked_lines(const std::string& path, const job_options& options) : reader_(path, options) {}
  std::optional<request_or_bad_line> next() {
    auto line = reader_.next();
    if (line && *line && !ids_.insert(hash_of((*line)->custom_id)).second) {
      return request_or_bad_line(duplicate_line((*line)->line, (*line)->custom_id));
    }
    return line;
  }

 private:
  job_reader reader_;
  id_set ids_;
};

file_scan scan(const std::string& path, const job_options& options) {
  file_scan found;
  job_fingerprint print = job_fingerprint::begin(path);
  checked_lines lines(path, options);
  while (const auto line = lines.next()) {
    ++found.lines;
    print.add(*line);
    if (*line) continue;
    const bad_line& bad = line->error();
    ++found.bad_lines;
    if (bad.lacks_model) {
      refuse(
          fmt::format("{} line {}: names no model; give --model, or write the model into the job",
                      path, bad.line));
    }
    if (options.strict) {
      refuse(fmt::format("{} line {}: {} (without --strict, bad lines go to the errors file)", path,
                         bad.line, bad.message));
    }
  }
  if (found.lines == 0) refuse(fmt::format("{}: is empty; a job has one JSON object a line", path));
  found.hash = std::string(std::string_view(hex_digits(print.lines)));
  return found;
}

finished_line line_of(const bad_line& bad) {
  result told;
  told.line = bad.line;
  told.custom_id = bad.custom_id;
  failure why;
  why.code = bad.code;
  why.kind = failure_class::permanent;
  why.message = bad.message;
  told.outcome = why;
  std::string text = result_line(told, std::nullopt, false);
  text.pop_back();
  return {bad.line, false, std::move(text)};
}

// Collects lines until a block is full, then stores the block.
class block_maker {
 public:
  block_maker(job_store& store, const job_record& job, std::uint64_t chunk_lines)
      : store_(store), job_(job), chunk_lines_(chunk_lines) {}
  void add(request_or_bad_line&& line) {
    const std::uint64_t number = line_number(line);
    if (lines_ == 0) block_.first = number;
    block_.last = number;
    ++lines_;
    if (line) {
      bytes_ += line->body.size();
      requests_.push_back(*std::move(line));
    } else {
      block_.bad_lines.push_back(line_of(line.error()));
    }
    if (lines_ >= chunk_lines_ || bytes_ >= most_block_bytes) end_block();
  }
  void end_block() {
    if (lines_ == 0) return;
    if (block_.number >= job_.blocks) {
      block_.requests = pack(requests_);
      store_.add_block(job_.id, block_);
    }
    block_ = {.number = block_.number + 1, .requests = {}, .bad_lines = {}};
    requests_.clear();
    lines_ = bytes_ = 0;
  }

 private:
  job_store& store_;
  const job_record& job_;
  const std::uint64_t chunk_lines_;
  line_block block_;
  std::vector<request> requests_;
  std::uint64_t lines_ = 0;
  std::size_t bytes_ = 0;
};

std::string new_identity() {
  std::random_device random;
  return fmt::format("{:08x}{:08x}{:08x}{:08x}", random(), random(), random(), random());
}

// Returns whether the stored job is the same. If it is stored completely, its lines decide;
// otherwise the size of its chunks must be the same too.
bool is_same(const job_record& job, const std::string& hash, std::uint64_t chunk_lines) {
  if (job.ready) return job.fingerprint.starts_with(hash);
  return job.fingerprint == fmt::format("{} {}", hash, chunk_lines);
}

}  // namespace

std::string job_name_of(const std::string& path) {
  std::string name = std::filesystem::path(path).filename().string();
  for (const std::string_view ending : {".gz", ".zst", ".jsonl"}) {
    if (name.size() > ending.size() && name.ends_with(ending))
      name.resize(name.size() - ending.size());
  }
  return name;
}

enqueued_job enqueue(job_store& store, const std::string& path, const std::string& name,
                     const enqueue_options& options) {
  if (path == "-") {
    refuse("standard input cannot be enqueued, since the job is read twice; write it to a file");
  }
  const file_scan found = scan(path, options.lines);
  enqueued_job done;
  done.bad_lines = found.bad_lines;
  done.chunk_lines =
      options.chunk_lines != 0 ? options.chunk_lines : usual_chunk_lines(found.lines);
  done.job =
      store.add_job({name, new_identity(), fmt::format("{} {}", found.hash, done.chunk_lines),
                     found.lines, options.budget});
  if (!is_same(done.job, found.hash, done.chunk_lines)) {
    refuse(fmt::format(
        "{}: the store has another job with the name {}, or the same one was begun with other "
        "flags; choose another --name, or remove that job: sluice jobs --remove {}",
        path, name, name));
  }
  done.was_there = done.job.ready;
  if (options.budget && options.budget != done.job.budget) {
    if (!store.set_budget(done.job.id, options.budget)) {
      refuse(fmt::format(
          "{}: workers are sending requests of this job without a budget; stop them with Ctrl-C, "
          "then run the same command again to set one",
          name));
    }
    done.job.budget = options.budget;
  }
  if (done.was_there) return done;
  checked_lines lines(path, options.lines);
  block_maker blocks(store, done.job, done.chunk_lines);
  job_fingerprint print = job_fingerprint::begin(path);
  while (auto line = lines.next()) {
    print.add(*line);
    blocks.add(*std::move(line));
  }
  blocks.end_block();
  // If the file was changed meanwhile, it must not become a job.
  if (std::string_view(hex_digits(print.lines)) != found.hash) {
    store.remove_job(done.job.id);
    refuse(fmt::format("{}: was changed while it was enqueued; run the same command again", path));
  }
  store.make_ready(done.job.id);
  done.job.ready = true;
  return done;
}

}  // namespace sluice::cluster
