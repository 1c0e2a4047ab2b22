#include "jobs/line_order.hpp"

#include <algorithm>
#include <queue>
#include <string_view>
#include <utility>

namespace sluice {
namespace {

constexpr std::string_view ending = ".order";

// The temporary file is always empty while it has a name.
bool is_empty(std::string_view begin) {
  return begin.empty();
}

}  // namespace

// Reads a sorted run again, one part at a time.
struct line_order::cursor {
  file* from = nullptr;
  run rest;
  std::vector<line_place> part = {};
  std::size_t at = 0;

  const line_place& front() const { return part[at]; }

  // Moves to the next place. False: there is none.
  bool next(std::size_t most) {
    if (++at < part.size()) return true;
    const std::uint64_t left = (rest.end - rest.begin) / sizeof(line_place);
    part.resize(std::min<std::uint64_t>(left, most));
    at = 0;
    if (part.empty()) return false;
    auto* const bytes = reinterpret_cast<char*>(part.data());
    const std::size_t size = part.size() * sizeof(line_place);
    for (std::size_t filled = 0; filled < size;) {
      std::error_code error;
      const std::size_t n =
          from->read_at(rest.begin + filled, bytes + filled, size - filled, error);
      if (!error && n == 0) error = std::make_error_code(std::errc::io_error);
      if (error) throw disk_fault{error};
      filled += n;
    }
    rest.begin += size;
    return true;
  }
};

line_order::line_order(file_system& files, std::string target, std::size_t most_in_memory)
    : files_(files), target_(std::move(target)), most_in_memory_(most_in_memory) {}

void line_order::remove_stale(file_system& files, const std::string& target) {
  remove_stale_temporary(files, target + std::string(ending), is_empty);
}

void line_order::add(const line_place& place) {
  if (places_.size() >= most_in_memory_) write_run();
  places_.push_back(place);
}

void line_order::write_run() {
  std::error_code error;
  if (!spilled_) {
    std::string path;
    spilled_ = create_temporary_for(files_, target_ + std::string(ending), is_empty, path, error);
    if (spilled_) error = files_.remove(path);
    if (error) throw disk_fault{error};
  }
  std::sort(places_.begin(), places_.end(),
            [](const line_place& a, const line_place& b) { return a.before(b); });
  const std::string_view bytes(reinterpret_cast<const char*>(places_.data()),
                               places_.size() * sizeof(line_place));
  spilled_->append(bytes, error);
  if (error) throw disk_fault{error};
  runs_.push_back({spilled_bytes_, spilled_bytes_ + bytes.size()});
  spilled_bytes_ += bytes.size();
  places_.clear();
}

void line_order::visit(const std::function<void(const line_place&)>& visit) {
  if (runs_.empty()) {
    std::sort(places_.begin(), places_.end(),
              [](const line_place& a, const line_place& b) { return a.before(b); });
    for (const line_place& place : places_) visit(place);
    return;
  }
  write_run();
  places_ = {};
  merge(visit);
}

void line_order::merge(const std::function<void(const line_place&)>& visit) {
  constexpr std::size_t least_read = 64;  // number of places of a run
  const std::size_t most = std::max(most_in_memory_ / runs_.size(), least_read);
  std::vector<cursor> cursors;
  for (const run& one : runs_) cursors.push_back({spilled_.get(), one});
  const auto later = [&](std::size_t a, std::size_t b) {
    return cursors[b].front().before(cursors[a].front());
  };
  std::priority_queue<std::size_t, std::vector<std::size_t>, decltype(later)> next(later);
  for (std::size_t i = 0; i < cursors.size(); ++i) {
    if (cursors[i].next(most)) next.push(i);
  }
  while (!next.empty()) {
    const std::size_t first = next.top();
    next.pop();
    visit(cursors[first].front());
    if (cursors[first].next(most)) next.push(first);
  }
}

}  // namespace sluice
