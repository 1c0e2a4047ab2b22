#pragma once

#include <gtest/gtest.h>

#include <cstdint>
#include <functional>
#include <map>
#include <mutex>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "store/shared_files.hpp"

namespace sluice::server {

/// The files that servers share, and the files of one running batch, in memory instead of in a
/// store. Thread safe.
class memory_files final : public store::shared_files {
 public:
  using file_change = store::file_change;

  bool add(std::string_view id, file& bytes) override {
    const std::lock_guard lock(guard);
    if (is_away) throw store::store_error("away", is_full);
    std::string content(bytes.size(), '\0');
    std::error_code error;
    content.resize(bytes.read_at(0, content.data(), content.size(), error));
    return files.emplace(id, content).second;
  }
  bool fetch(std::string_view id, const std::function<void(std::string_view)>& write) override {
    const std::lock_guard lock(guard);
    const auto found = files.find(id);
    if (found == files.end()) return false;
    write(found->second);
    return true;
  }
  void release(std::string_view id) override {
    const std::lock_guard lock(guard);
    if (is_away) throw store::store_error("away", is_full);
    if (const auto found = files.find(id); found != files.end() && !is_needed(id)) {
      files.erase(found);
    }
  }
  void drop(std::string_view) override {}
  void sweep(const std::function<bool()>&) override {}

  bool write(const store::claim& held, std::span<const file_change> changes) override {
    const std::lock_guard lock(guard);
    ++calls;
    if (is_away) throw store::store_error("away", is_full);
    if (held.epoch != epoch) return false;
    for (const file_change& each : changes) apply(each);
    return true;
  }
  std::vector<stored_file> files_of(std::string_view) override {
    const std::lock_guard lock(guard);
    std::vector<stored_file> all;
    for (const auto& [number, entry] : entries) all.push_back({number, entry.first});
    return all;
  }
  void read(std::string_view, std::int64_t number,
            const std::function<void(std::string_view)>& write) override {
    const std::lock_guard lock(guard);
    const std::string_view bytes = entries.at(number).second;
    for (std::size_t at = 0; at < bytes.size(); at += piece_size) {
      ++pieces_read;
      write(bytes.substr(at, piece_size));
    }
  }

  std::map<std::string, std::string> content() {
    const std::lock_guard lock(guard);
    std::map<std::string, std::string> all;
    for (const auto& [number, entry] : entries) all.insert(entry);
    return all;
  }

  /// Whether a record needs the bytes of a file.
  std::function<bool(std::string_view id)> is_needed = [](std::string_view) { return false; };
  std::mutex guard;
  std::map<std::string, std::string, std::less<>> files;
  std::map<std::int64_t, std::pair<std::string, std::string>> entries;  // name and bytes
  std::size_t piece_size = 7;                                           // of read()
  std::size_t pieces_read = 0;
  std::uint64_t epoch = 1;
  bool is_away = false;
  bool is_full = false;
  int calls = 0;

 private:
  void apply(const file_change& change) {
    auto& [name, bytes] = entries[change.file];
    switch (change.what) {
      case file_change::kind::create:
        name = change.name;
        return;
      case file_change::kind::append:
        EXPECT_EQ(bytes.size(), change.position);
        bytes += change.bytes;
        return;
      case file_change::kind::truncate:
        bytes.resize(change.position);
        return;
      case file_change::kind::rename:
        std::erase_if(entries, [&](const auto& each) {
          return each.first != change.file && each.second.first == change.name;
        });
        name = change.name;
        return;
      case file_change::kind::remove:
        entries.erase(change.file);
        return;
    }
  }
};

}  // namespace sluice::server
