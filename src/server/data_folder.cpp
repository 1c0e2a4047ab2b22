#include "server/data_folder.hpp"

#include <fmt/format.h>

#include <chrono>
#include <filesystem>
#include <new>
#include <set>
#include <system_error>
#include <utility>
#include <vector>

#include "server/object_id.hpp"
#include "sluice/error.hpp"

namespace sluice::server {
namespace {

namespace fs = std::filesystem;

bool means_full(const std::error_code& error) {
  return error == std::errc::no_space_on_device ||
         error == std::error_code(EDQUOT, std::generic_category());
}

void require(const std::error_code& error, std::string_view what, const std::string& path) {
  if (!error) return;
  throw store::store_error(fmt::format("{}: cannot {}: {}", path, what, error.message()),
                           means_full(error));
}

std::vector<std::string> names_in(const std::string& folder) {
  std::vector<std::string> names;
  std::error_code error;
  for (fs::directory_iterator entry(folder, error), end; !error && entry != end;
       entry.increment(error)) {
    names.push_back(entry->path().filename().string());
  }
  require(error, "read the folder", folder);
  return names;
}

void remove_tree(const std::string& path) {
  std::error_code error;
  fs::remove_all(path, error);
  require(error, "remove it", path);
}

}  // namespace

data_folder::data_folder(std::string path, file_system& disk, store::shared_files* shared)
    : path_(std::move(path)), disk_(disk), shared_(shared) {
  for (const char* part : {"/files", "/batches", "/uploads"}) {
    require(disk_.make_folders(path_ + part), "create the folder", path_ + part);
  }
}

data_folder::draft::~draft() {
  file_.reset();
  if (!published_) folder_.disk_.remove(path_);
}

void data_folder::draft::append(std::string_view bytes) {
  std::error_code error;
  size_ += file_->append(bytes, error);
  require(error, "write", path_);
}

void data_folder::draft::publish(std::string_view id) {
  require(file_->sync(), "sync", path_);
  const std::string target = folder_.file(id);
  require(folder_.disk_.rename(path_, target), "rename", path_);
  published_ = true;
  try {
    require(folder_.disk_.sync_folder_of(target), "sync the folder of", target);
    folder_.share(id);
  } catch (...) {
    folder_.disk_.remove(target);
    throw;
  }
}

std::unique_ptr<data_folder::draft> data_folder::new_draft() {
  const std::string path = path_ + "/uploads/" + new_object_id("draft-");
  std::error_code error;
  auto opened = disk_.open(path, file_system::open_as::created, error);
  require(error, "create", path);
  return std::make_unique<draft>(*this, path, std::move(opened));
}

void data_folder::link(const std::string& from, const std::string& to) {
  std::error_code error;
  fs::create_hard_link(from, to, error);
  if (error == std::errc::file_exists) return;
  require(error, "link it to " + to, from);
  require(disk_.sync_folder_of(to), "sync the folder of", to);
}

// Stores the bytes of a file for the other servers.
void data_folder::share(std::string_view id) {
  if (shared_ == nullptr) return;
  std::error_code error;
  const auto opened = disk_.open(file(id), file_system::open_as::read_only, error);
  if (!opened) require(error, "open", file(id));
  if (shared_->add(id, *opened)) return;
  // Another server has stored its bytes first. They stay, and replace the local ones.
  disk_.remove(file(id));
  fetch(id);
}

void data_folder::remember(std::string_view id, std::string_view owner, bool unwanted) noexcept {
  try {
    const std::lock_guard lock(guard_);
    remains_.push_back({std::string(id), std::string(owner), unwanted});
  } catch (const std::bad_alloc&) {
    // The next start removes it.
  }
}

// Frees the space of a file. A full disk cannot prevent this. The empty file stays, as a mark for
// sweep().
void data_folder::free_bytes(std::string_view id) const noexcept {
  std::error_code ignored;
  fs::resize_file(file(id), 0, ignored);
}

// Frees the bytes of a file whose record was not stored. `refused`: it is certain that the store
// has no record.
void data_folder::withdraw(store::batch_store& records, const store::file_record& file,
                           bool refused) noexcept {
  if (shared_ != nullptr) {
    // The store has the bytes, so the local copy is not needed in any case. If the outcome of the
    // commit is unknown, the record may become visible later. Then the store removes the bytes
    // itself, after an hour without a record.
    disk_.remove(this->file(file.id));
    try {
      if (refused) shared_->release(file.id);
    } catch (const store::store_error&) {
      // As above.
    }
    return;
  }
  try {
    if (records.has_file(file.id)) return;
    free_bytes(file.id);
  } catch (const store::store_error&) {
    // It is unknown whether there is a record, so the bytes stay for now.
  }
  remember(file.id, file.owner, false);
}

void data_folder::add_file(store::batch_store& records, draft& bytes,
                           const store::file_record& file) {
  bytes.publish(file.id);
  try {
    records.add_file(file);
  } catch (const store::store_error& fault) {
    withdraw(records, file, fault.full());
    throw;
  }
  changed(records);
}

void data_folder::take_back(store::batch_store& records, const store::file_record& file) noexcept {
  const auto removed = [&] {
    try {
      records.remove_file(file.owner, file.id);
      erase(file.id);
      return true;
    } catch (const store::store_error&) {
      return false;
    }
  };
  if (removed()) return;
  if (shared_ == nullptr) {
    // On a full disk, the store may need this space to remove the record.
    free_bytes(file.id);
    if (removed()) return;
  }
  remember(file.id, file.owner, true);
}

void data_folder::changed(store::batch_store& records) noexcept {
  std::vector<remainder> some;
  {
    const std::lock_guard lock(guard_);
    some.swap(remains_);
  }
  for (const remainder& each : some) {
    try {
      if (each.unwanted) records.remove_file(each.owner, each.id);
      if (!records.has_file(each.id)) erase(each.id);
    } catch (const store::store_error&) {
      remember(each.id, each.owner, each.unwanted);
    }
  }
}

bool data_folder::has_result(std::string_view id) {
  // The local copy may be left from a crash before the file was shared.
  if (shared_ != nullptr) disk_.remove(file(id));
  return fetch(id);
}

bool data_folder::fetch(std::string_view id) {
  if (disk_.exists(file(id))) return true;
  if (shared_ == nullptr) return false;
  const std::string path = path_ + "/uploads/" + new_object_id("draft-");
  std::error_code error;
  auto copy = disk_.open(path, file_system::open_as::created, error);
  require(error, "create", path);
  bool whole = false;
  try {
    whole = shared_->fetch(id, [&](std::string_view piece) {
      copy->append(piece, error);
      require(error, "write", path);
    });
    if (whole) require(disk_.rename(path, file(id)), "rename", path);
  } catch (...) {
    disk_.remove(path);
    throw;
  }
  if (!whole) disk_.remove(path);
  return whole;
}

bool data_folder::take_input(std::string_view file_id, std::string_view batch_id) {
  if (!fetch(file_id)) return false;
  require(disk_.make_folders(batch(batch_id)), "create the folder", batch(batch_id));
  link(file(file_id), batch_input(batch_id));
  return true;
}

void data_folder::publish_copy(const std::string& from, std::string_view id) {
  if (!disk_.exists(from)) return;
  link(from, file(id));
  share(id);
}

void data_folder::erase(std::string_view id) {
  const std::string path = file(id);
  const std::error_code error = disk_.remove(path);
  if (error != std::errc::no_such_file_or_directory) require(error, "remove it", path);
  if (shared_ != nullptr) shared_->release(id);
}

void data_folder::remove_file(std::string_view id) {
  try {
    erase(id);
  } catch (const store::store_error&) {
    remember(id, {}, false);
    throw;
  }
}

void data_folder::remove_batch(std::string_view id, std::string_view input) {
  remove_tree(batch(id));
  if (shared_ == nullptr) return;
  shared_->drop(id);
  if (!input.empty()) shared_->release(input);
}

void data_folder::remove_stale_copies(store::batch_store& records,
                                      const std::function<bool()>& may_go_on) {
  if (shared_ == nullptr) return;
  // New files that this server is about to publish have no record yet.
  const auto before = fs::file_time_type::clock::now() - std::chrono::hours{1};
  for (const auto& name : names_in(path_ + "/files")) {
    if (!may_go_on()) return;
    std::error_code error;
    const auto written = fs::last_write_time(file(name), error);
    if (!error && written < before && is_object_id(name, "file-") && !records.has_file(name)) {
      disk_.remove(file(name));
    }
  }
  std::set<std::string> open;
  for (auto& batch : records.open_batches()) open.insert(std::move(batch.id));
  for (const auto& name : names_in(path_ + "/batches")) {
    std::error_code error;
    const auto written = fs::last_write_time(batch(name), error);
    if (!error && written < before && is_object_id(name, "batch_") && !open.contains(name)) {
      remove_tree(batch(name));
    }
  }
  shared_->sweep(may_go_on);
}

void data_folder::restore_input(const store::batch_record& batch) {
  try {
    take_input(batch.input_file_id, batch.id);
  } catch (const store::store_error&) {
    // The batch waits, and says why.
  }
}

// Removes the record of a file that was emptied because the store had refused the record.
void data_folder::remove_false_record(store::batch_store& records, const std::string& id,
                                      const std::vector<std::string>& owners) {
  try {
    for (const auto& owner : owners) {
      const auto found = records.find_file(owner, id);
      if (found && found->bytes > 0) records.remove_file(owner, id);
    }
  } catch (const store::store_error&) {
    // A full disk must not prevent the start. The owner can still remove the file.
  }
}

void data_folder::sweep(store::batch_store& records, const std::vector<std::string>& owners) {
  for (const auto& name : names_in(path_ + "/uploads")) remove_tree(path_ + "/uploads/" + name);
  std::set<std::string> open;
  for (auto& one : records.open_batches()) {
    if (shared_ == nullptr && !disk_.exists(batch_input(one.id))) restore_input(one);
    open.insert(std::move(one.id));
  }
  for (const auto& name : names_in(path_ + "/files")) {
    if (!is_object_id(name, "file-")) continue;
    std::error_code error;
    if (shared_ == nullptr && fs::file_size(file(name), error) == 0 && !error) {
      remove_false_record(records, name, owners);
    }
    if (!records.has_file(name)) remove_file(name);
  }
  for (const auto& name : names_in(path_ + "/batches")) {
    if (is_object_id(name, "batch_") && !open.contains(name)) remove_batch(name);
  }
}

}  // namespace sluice::server
