#include "page/report_page.hpp"

#include <fmt/format.h>
#include <openssl/evp.h>
#include <openssl/sha.h>

#include <array>
#include <cstddef>
#include <map>
#include <nlohmann/json.hpp>
#include <string_view>

#include "json/text.hpp"
#include "sluice/error.hpp"

#ifdef SLUICE_HAS_REPORT_PAGE
// Defined in embedded_parts.S.
#define SLUICE_PAGE_PART(name)            \
  extern const char sluice_page_##name[]; \
  extern const char sluice_page_##name##_end[]
extern "C" {
SLUICE_PAGE_PART(skeleton);
SLUICE_PAGE_PART(style);
SLUICE_PAGE_PART(script);
SLUICE_PAGE_PART(density);
SLUICE_PAGE_PART(uplot_script);
SLUICE_PAGE_PART(uplot_style);
SLUICE_PAGE_PART(uplot_licence);
}
#endif

namespace sluice {

using nlohmann::ordered_json;

bool begins_as_report_page(std::string_view text) {
  return text.starts_with(
      "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
      "<meta name=\"generator\" content=\"sluice\">\n");
}

std::string json_in_html(const ordered_json& document) {
  const std::string text = json_line(document);
  std::string safe;
  safe.reserve(text.size() + text.size() / 16);
  for (std::size_t at = 0; at < text.size(); ++at) {
    const std::string_view rest = std::string_view(text).substr(at);
    if (rest.front() == '<') {
      safe += "\\u003c";
    } else if (rest.front() == '>') {
      safe += "\\u003e";
    } else if (rest.front() == '&') {
      safe += "\\u0026";
    } else if (rest.starts_with("\u2028") || rest.starts_with("\u2029")) {
      safe += rest.starts_with("\u2028") ? "\\u2028" : "\\u2029";
      at += 2;
    } else {
      safe += rest.front();
    }
  }
  return safe;
}

#ifdef SLUICE_HAS_REPORT_PAGE
namespace {

std::string_view between(const char* begin, const char* end) {
  return {begin, static_cast<std::size_t>(end - begin)};
}
#define SLUICE_PART(name) between(sluice_page_##name, sluice_page_##name##_end)

// The hash by which a content security policy allows a script to run.
std::string script_hash(std::string_view script) {
  std::array<unsigned char, SHA256_DIGEST_LENGTH> digest{};
  SHA256(reinterpret_cast<const unsigned char*>(script.data()), script.size(), digest.data());
  std::array<unsigned char, 4 * (SHA256_DIGEST_LENGTH + 2) / 3 + 1> text{};
  const int size = EVP_EncodeBlock(text.data(), digest.data(), static_cast<int>(digest.size()));
  return fmt::format("'sha256-{}'", std::string_view(reinterpret_cast<const char*>(text.data()),
                                                     static_cast<std::size_t>(size)));
}

// The skeleton with each {{name}} replaced. The inserted text is not searched for names.
std::string filled(std::string_view skeleton,
                   const std::map<std::string_view, std::string_view>& parts) {
  std::string page;
  for (;;) {
    const std::size_t open = skeleton.find("{{");
    page += skeleton.substr(0, open);
    if (open == std::string_view::npos) return page;
    const std::size_t close = skeleton.find("}}", open);
    page += parts.at(skeleton.substr(open + 2, close - open - 2));
    skeleton.remove_prefix(close + 2);
  }
}

}  // namespace

bool has_report_page() noexcept {
  return true;
}

std::string report_page(const ordered_json& document) {
  const std::string uplot = fmt::format("{}\n/* uPlot:\n{}*/\n{}", SLUICE_PART(density),
                                        SLUICE_PART(uplot_licence), SLUICE_PART(uplot_script));
  const std::string hashes =
      fmt::format("{} {}", script_hash(uplot), script_hash(SLUICE_PART(script)));
  const std::string data = json_in_html(document);
  return filled(SLUICE_PART(skeleton), {{"script_hashes", hashes},
                                        {"uplot_style", SLUICE_PART(uplot_style)},
                                        {"style", SLUICE_PART(style)},
                                        {"uplot", uplot},
                                        {"script", SLUICE_PART(script)},
                                        {"document", data}});
}

#else

bool has_report_page() noexcept {
  return false;
}

std::string report_page(const ordered_json& /*document*/) {
  throw fatal_error(
      fatal_error::kind::cannot_start,
      "this sluice was built without HTML reports: uPlot could not be downloaded; give "
      "--json instead, or build again where npm can fetch it");
}

#endif

}  // namespace sluice
