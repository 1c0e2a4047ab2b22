#include "tokens/image_tokens.hpp"

#include <algorithm>
#include <cmath>
#include <iterator>
#include <string>

namespace sluice {
namespace {

struct ruled_model {
  std::string_view name;
  image_rule rule;
};

// Source: https://platform.openai.com/docs/guides/images-vision, "Calculating costs". Actual bills
// of most models: https://community.openai.com/t/1262691. Newer models have no rule here, since
// their bills do not follow any published rule (https://community.openai.com/t/1380539 for
// gpt-5.4-mini, https://community.openai.com/t/1372291 for gpt-5.2).
constexpr ruled_model ruled_models[] = {
    {"gpt-4o", image_rule::tiles(85, 170)},
    {"chatgpt-4o", image_rule::tiles(85, 170)},
    {"gpt-4.1", image_rule::tiles(85, 170)},
    {"gpt-4.5", image_rule::tiles(85, 170)},
    {"gpt-4-turbo", image_rule::tiles(85, 170)},
    {"gpt-4-vision", image_rule::tiles(85, 170)},
    {"gpt-4-1106-vision", image_rule::tiles(85, 170)},
    {"gpt-4o-mini", image_rule::tiles(2833, 5667)},
    {"gpt-5", image_rule::tiles(70, 140)},
    {"gpt-5-chat", image_rule::tiles(70, 140)},
    {"o1", image_rule::tiles(75, 150)},
    {"o1-pro", image_rule::tiles(75, 150)},
    {"o3", image_rule::tiles(75, 150)},
    {"computer-use", image_rule::tiles(65, 129)},
    {"gpt-4.1-mini", image_rule::patches(162)},
    {"gpt-4.1-nano", image_rule::patches(246)},
    {"gpt-5-mini", image_rule::patches(162)},
    {"gpt-5-nano", image_rule::patches(246)},
    {"o4-mini", image_rule::patches(172)},
};

// Source: https://platform.claude.com/docs/en/build-with-claude/vision. Models up to 4.6 scale a
// picture down to 1568 pixels a side and about 1,600 tokens; later ones to 2576 pixels and 4,784
// tokens.
constexpr image_rule earlier_claude = image_rule::pixels(1568, 1600);
constexpr image_rule later_claude = image_rule::pixels(2576, 4784);
// Models up to 2.1 take no pictures.
constexpr std::string_view blind_claudes[] = {"claude-1", "claude-2", "claude-instant"};
constexpr std::string_view earlier_claudes[] = {
    "claude-3",          "claude-4-",         "claude-opus-4-0",   "claude-opus-4-1",
    "claude-opus-4-2",   "claude-opus-4-5",   "claude-opus-4-6",   "claude-sonnet-4-0",
    "claude-sonnet-4-2", "claude-sonnet-4-5", "claude-sonnet-4-6", "claude-haiku-4-5"};

// Source: https://ai.google.dev/gemini-api/docs/media-resolution: 1,120 tokens, and 2,240 at
// MEDIA_RESOLUTION_ULTRA_HIGH, from Gemini 3 on. Earlier models cut a picture into tiles, for which
// no highest number is published.
constexpr image_rule later_gemini = image_rule::fixed(1120, 2240);
constexpr std::string_view later_geminis[] = {"gemini-3", "gemini-4"};

template <std::size_t count>
bool starts_with_any(std::string_view name, const std::string_view (&prefixes)[count]) {
  return std::any_of(std::begin(prefixes), std::end(prefixes),
                     [&](std::string_view prefix) { return name.starts_with(prefix); });
}

constexpr std::int64_t most_patches = 1536;
constexpr double patch_side = 32;

std::string_view without_vendor(std::string_view model) {
  if (const std::size_t slash = model.rfind('/'); slash != std::string_view::npos)
    model.remove_prefix(slash + 1);
  if (!model.starts_with("ft:")) return model;
  model.remove_prefix(3);
  return model.substr(0, model.find(':'));
}

// Whether `rest`, which follows a model's name, is only a version: a date, "-latest" or "-preview".
bool is_version(std::string_view rest) {
  for (const std::string_view word : {"-preview", "-latest"}) {
    if (rest.starts_with(word)) rest.remove_prefix(word.size());
  }
  return rest.empty() || ((rest.front() == '-' || rest.front() == '@') && rest.size() > 4 &&
                          rest.find_first_not_of("0123456789-", 1) == std::string_view::npos);
}

std::int64_t rounded_up(std::int64_t hundredths) {
  return (hundredths + 99) / 100;
}

std::int64_t pieces(double side, double piece) {
  return static_cast<std::int64_t>(std::ceil(side / piece));
}

std::int64_t patches_of(double width, double height) {
  const std::int64_t plain = pieces(width, patch_side) * pieces(height, patch_side);
  if (plain <= most_patches) return plain;
  // Shrink the picture to the maximum number of patches, then until one side is a whole number of
  // patches.
  const double shrink =
      std::sqrt(static_cast<double>(most_patches) * patch_side * patch_side / (width * height));
  const double across = width * shrink / patch_side;
  const double down = height * shrink / patch_side;
  if (across < 1 || down < 1) return most_patches;  // the rule does not cover such thin pictures
  const double fit = std::min(std::floor(across) / across, std::floor(down) / down);
  constexpr double slack = 1e-9;  // hides the rounding errors of whole numbers
  return std::min(pieces(across * fit - slack, 1) * pieces(down * fit - slack, 1), most_patches);
}

// Decodes base64 up to the first character that is not part of it.
std::string decoded(std::string_view base64) {
  std::string bytes;
  unsigned bits = 0;
  unsigned available = 0;  // number of bits that are not in `bytes` yet
  for (const char c : base64) {
    unsigned value = 0;
    if (c >= 'A' && c <= 'Z') {
      value = static_cast<unsigned>(c - 'A');
    } else if (c >= 'a' && c <= 'z') {
      value = static_cast<unsigned>(c - 'a') + 26;
    } else if (c >= '0' && c <= '9') {
      value = static_cast<unsigned>(c - '0') + 52;
    } else if (c == '+' || c == '-') {
      value = 62;
    } else if (c == '/' || c == '_') {
      value = 63;
    } else if (c == '\\') {
      continue;  // part of an escaped slash in JSON
    } else {
      break;
    }
    bits = (bits << 6U | value) & 0xFFFFFFU;
    available += 6;
    if (available < 8) continue;
    available -= 8;
    bytes += static_cast<char>(bits >> available & 0xFFU);
  }
  return bytes;
}

// Reads numbers from an image's header; 0 after its end.
class header {
 public:
  explicit header(std::string_view bytes) : bytes_(bytes) {}
  std::size_t size() const noexcept { return bytes_.size(); }
  bool has(std::size_t at, std::string_view magic) const {
    return at < bytes_.size() && bytes_.substr(at).starts_with(magic);
  }
  std::uint32_t byte(std::size_t at) const {
    return at < bytes_.size() ? static_cast<unsigned char>(bytes_[at]) : 0;
  }
  std::uint32_t big(std::size_t at, std::size_t count) const {
    std::uint32_t value = 0;
    for (std::size_t i = 0; i < count; ++i) value = value << 8U | byte(at + i);
    return value;
  }
  std::uint32_t little(std::size_t at, std::size_t count) const {
    std::uint32_t value = 0;
    for (std::size_t i = count; i > 0; --i) value = value << 8U | byte(at + i - 1);
    return value;
  }

 private:
  std::string_view bytes_;
};

// Finds the first segment that starts a frame: https://www.w3.org/Graphics/JPEG/itu-t81.pdf, annex
// B.
image_size jpeg_size(const header& bytes) {
  for (std::size_t at = 2; at + 9 <= bytes.size() && bytes.byte(at) == 0xFF;) {
    const std::uint32_t marker = bytes.byte(at + 1);
    const bool frame =
        marker >= 0xC0 && marker <= 0xCF && marker != 0xC4 && marker != 0xC8 && marker != 0xCC;
    if (frame) return {bytes.big(at + 7, 2), bytes.big(at + 5, 2)};
    at += marker == 0xFF ? 1 : 2 + std::max<std::size_t>(bytes.big(at + 2, 2), 2);
  }
  return {};
}

// https://developers.google.com/speed/webp/docs/riff_container
image_size webp_size(const header& bytes) {
  if (bytes.has(12, "VP8X")) return {bytes.little(24, 3) + 1, bytes.little(27, 3) + 1};
  if (bytes.has(12, "VP8 ")) return {bytes.little(26, 2) & 0x3FFFU, bytes.little(28, 2) & 0x3FFFU};
  if (!bytes.has(12, "VP8L")) return {};
  const std::uint32_t bits = bytes.little(21, 4);
  return {(bits & 0x3FFFU) + 1, (bits >> 14U & 0x3FFFU) + 1};
}

image_size size_in(const header& bytes) {
  if (bytes.has(0, "\x89PNG\r\n")) return {bytes.big(16, 4), bytes.big(20, 4)};
  if (bytes.has(0, "GIF8")) return {bytes.little(6, 2), bytes.little(8, 2)};
  if (bytes.has(0, "\xFF\xD8")) return jpeg_size(bytes);
  if (bytes.has(0, "RIFF") && bytes.has(8, "WEBP")) return webp_size(bytes);
  return {};
}

}  // namespace

std::optional<image_size> image_size_of(std::string_view url) {
  // The frame of a JPEG may follow a preview image and other segments of up to 64 KiB each.
  constexpr std::size_t longest_header = std::size_t{256} * 1024;
  if (!url.starts_with("\"data:")) return std::nullopt;
  const std::size_t comma = url.substr(0, 256).find(',');
  if (comma == std::string_view::npos || !url.substr(0, comma).ends_with(";base64"))
    return std::nullopt;
  const std::string bytes = decoded(url.substr(comma + 1, longest_header));
  const image_size size = size_in(header(bytes));
  if (size.width == 0 || size.height == 0) return std::nullopt;
  return size;
}

std::int64_t image_rule::most(bool low_detail) const noexcept {
  constexpr std::int64_t most_tiles = 8;  // a picture of 2048 by 768 pixels
  switch (form_) {
    case form::tiles:
      return low_detail ? first_ : first_ + most_tiles * second_;
    case form::patches:
      return rounded_up(most_patches * first_);
    case form::pixels:
    case form::fixed:
      break;
  }
  return second_;
}

std::int64_t image_rule::tokens(std::uint32_t width, std::uint32_t height,
                                bool low_detail) const noexcept {
  constexpr double longest = 2048;
  constexpr double shorter = 768;
  constexpr double tile = 512;
  double across = width;
  double down = height;
  if (form_ == form::patches) return rounded_up(patches_of(across, down) * first_);
  if (form_ == form::fixed || (form_ == form::tiles && low_detail)) return first_;
  const auto scale = [&](double side, double limit) {
    if (side <= limit) return;
    across *= limit / side;
    down *= limit / side;
  };
  if (form_ == form::pixels) {
    constexpr double pixels_a_token = 750;
    scale(std::max(across, down), static_cast<double>(first_));
    return std::clamp<std::int64_t>(pieces(across * down, pixels_a_token), 1, second_);
  }
  scale(std::max(across, down), longest);
  scale(std::min(across, down), shorter);
  return first_ + pieces(across, tile) * pieces(down, tile) * second_;
}

std::optional<image_rule> image_rule_of(std::string_view model) {
  const std::string_view name = without_vendor(model);
  for (const auto& [prefix, rule] : ruled_models) {
    if (name.starts_with(prefix) && is_version(name.substr(prefix.size()))) return rule;
  }
  if (name.starts_with("claude-") && !starts_with_any(name, blind_claudes))
    return starts_with_any(name, earlier_claudes) ? earlier_claude : later_claude;
  if (starts_with_any(name, later_geminis)) return later_gemini;
  return std::nullopt;
}

}  // namespace sluice
