#include "cli/page_file.hpp"

#include <fmt/format.h>

#include <filesystem>
#include <memory>
#include <nlohmann/json.hpp>

#include "file_system.hpp"
#include "report_page/report_page.hpp"
#include "sluice/error.hpp"

namespace sluice::cli {
namespace {

[[noreturn]] void refuse(const std::string& path, const std::string& why) {
  throw fatal_error(
      fatal_error::kind::cannot_start,
      fmt::format("--html {}: {}; name a file in a folder that you may write", path, why));
}

}  // namespace

void require_page(const std::string& path) {
  if (!has_report_page()) (void)report_page({});  // says so
  const auto files = system_files();
  if (path.empty()) refuse(path, "that is no file");
  if (files->is_folder(path)) refuse(path, "that is a folder");
  const auto folder = std::filesystem::path(files->resolved(path)).parent_path();
  const std::string named = folder.empty() ? "." : folder.string();
  if (!files->is_folder(named)) refuse(path, fmt::format("there is no folder {}", named));
  if (!files->is_writable_folder(named)) {
    refuse(path, fmt::format("the folder {} may not be written", named));
  }
}

void write_page(const std::string& path, const nlohmann::ordered_json& document, unsigned mode) {
  require_page(path);
  const std::string page = report_page(document);
  const auto files = system_files(mode);
  try {
    replace_file(*files, path, page, [](std::string_view) { return false; });
  } catch (const fatal_error&) {
    refuse(path, "it cannot be written");
  }
}

}  // namespace sluice::cli
