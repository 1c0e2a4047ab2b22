#include "cli/page_file.hpp"

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <array>
#include <filesystem>
#include <fstream>
#include <memory>
#include <nlohmann/json.hpp>

#include "cli/named_files.hpp"
#include "files/file_system.hpp"
#include "page/report_page.hpp"
#include "sluice/error.hpp"

namespace sluice::cli {
namespace {

[[noreturn]] void refuse_page(const std::string& path, const std::string& why) {
  throw fatal_error(
      fatal_error::kind::cannot_start,
      fmt::format("--html {}: {}; name a file in a folder that you may write", path, why));
}

// An existing file is replaced only if it is empty or a report page.
void require_replaceable(const std::string& path) {
  namespace fs = std::filesystem;
  std::error_code error;
  const auto kind = fs::status(path, error).type();
  if (kind == fs::file_type::not_found) return;
  std::array<char, 512> begin{};
  std::streamsize size = 0;
  if (kind == fs::file_type::regular) {  // reading a pipe would block
    std::ifstream file(path, std::ios::binary);
    file.read(begin.data(), begin.size());
    size = file.gcount();
    if (!file.bad() && file.eof() && size == 0) return;
  }
  if (begins_as_report_page({begin.data(), static_cast<std::size_t>(size)})) return;
  throw fatal_error(fatal_error::kind::cannot_start,
                    fmt::format("--html {}: is not a page of sluice and is not replaced; name "
                                "another file, or remove it first",
                                path));
}

}  // namespace

void require_page(const std::string& path, const std::vector<job_files>& jobs) {
  if (!has_report_page()) (void)report_page({});  // this throws an error with the reason
  const auto files = system_files();
  if (path.empty()) refuse_page(path, "the name is empty");
  if (files->is_folder(path)) refuse_page(path, "that is a folder");
  const auto folder = std::filesystem::path(files->resolved(path)).parent_path();
  const std::string named = folder.empty() ? "." : folder.string();
  if (!files->is_folder(named)) refuse_page(path, fmt::format("there is no folder {}", named));
  if (!files->is_writable_folder(named)) {
    refuse_page(path, fmt::format("the folder {} may not be written", named));
  }
  require_no_job_file("--html", path, jobs);
  require_no_strange_link("--html", path);
  require_replaceable(path);
}

void write_page(const std::string& path, const nlohmann::ordered_json& document, unsigned mode) {
  require_page(path);
  const std::string page = report_page(document);
  const auto files =
      system_files(mode, [](const std::string& sentence) { spdlog::warn("{}", sentence); });
  try {
    replace_file(*files, path, page, begins_as_report_page);
  } catch (const fatal_error&) {
    refuse_page(path, "it cannot be written");
  }
}

}  // namespace sluice::cli
