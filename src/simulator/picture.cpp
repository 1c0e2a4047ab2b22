#include "simulator/picture.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <optional>
#include <string>
#include <utility>

namespace sluice::simulator {
namespace {

constexpr std::uint64_t most_tiles = 8;  // 2048 by 768 pixels

struct picture_price {
  std::string_view model;  ///< the beginning of its name
  std::uint64_t base;
  std::uint64_t tile;
};

// https://platform.openai.com/docs/guides/images-vision, "Calculating costs"
constexpr std::array picture_prices{
    picture_price{"gpt-4o-mini", 2833, 5667},
    picture_price{"gpt-5", 70, 140},
    picture_price{"o1", 75, 150},
    picture_price{"o3", 75, 150},
    picture_price{"computer-use", 65, 129},
};
constexpr picture_price usual_price{"", 85, 170};

/// Decodes base64 until its first other character.
std::string from_base64(std::string_view text) {
  constexpr std::string_view digits =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string bytes;
  std::uint32_t bits = 0;
  unsigned count = 0;
  for (const char c : text) {
    const auto digit = digits.find(c);
    if (digit == std::string_view::npos) break;
    bits = bits << 6U | static_cast<std::uint32_t>(digit);
    count += 6;
    if (count < 8) continue;
    count -= 8;
    bytes += static_cast<char>(bits >> count & 0xFFU);
  }
  return bytes;
}

std::uint32_t big_endian_at(const std::string& bytes, std::size_t at, std::size_t count) {
  std::uint32_t number = 0;
  for (std::size_t byte = at; byte < at + count; ++byte)
    number = number << 8U | static_cast<unsigned char>(bytes.at(byte));
  return number;
}

using picture_size = std::pair<std::uint32_t, std::uint32_t>;

/// The size in the first header of a frame.
std::optional<picture_size> size_of_jpeg(const std::string& bytes) {
  for (std::size_t at = 2; at + 9 <= bytes.size() && bytes[at] == '\xFF';) {
    const auto marker = big_endian_at(bytes, at + 1, 1);
    if (marker == 0xC0 || (marker > 0xC0 && marker <= 0xCF && marker % 4 != 0))
      return picture_size(big_endian_at(bytes, at + 7, 2), big_endian_at(bytes, at + 5, 2));
    at += marker == 0xFF ? 1 : 2 + big_endian_at(bytes, at + 2, 2);
  }
  return std::nullopt;
}

std::optional<picture_size> size_in(const std::string& bytes) {
  const auto little = [&bytes](std::size_t at) {
    return big_endian_at(bytes, at, 1) + 256 * big_endian_at(bytes, at + 1, 1);
  };
  if (bytes.starts_with("\x89PNG") && bytes.size() >= 24)
    return picture_size(big_endian_at(bytes, 16, 4), big_endian_at(bytes, 20, 4));
  if (bytes.starts_with("GIF8") && bytes.size() >= 10) return picture_size(little(6), little(8));
  if (bytes.starts_with("\xFF\xD8")) return size_of_jpeg(bytes);
  return std::nullopt;
}

/// The size of a picture in a data URL. Other formats and places are not read.
std::optional<picture_size> size_at(std::string_view url) {
  constexpr std::string_view mark = ";base64,";
  constexpr std::size_t longest_header = std::size_t{128} * 1024;  // before the frame of a JPEG
  const auto data = url.find(mark);
  if (!url.starts_with("data:") || data == std::string_view::npos) return std::nullopt;
  const auto size = size_in(from_base64(url.substr(data + mark.size(), longest_header)));
  if (!size || size->first == 0 || size->second == 0) return std::nullopt;
  return size;
}

std::uint64_t tiles_of(picture_size size) {
  constexpr double tile = 512;
  double longer = std::max(size.first, size.second);
  double shorter = std::min(size.first, size.second);
  // The picture is shrunk to 2048 by 2048 pixels, and then to a shorter side of 768.
  const auto shrink = [](double& side, double& other, double limit) {
    if (side <= limit) return;
    other *= limit / side;
    side = limit;
  };
  shrink(longer, shorter, 2048);
  shrink(shorter, longer, 768);
  return static_cast<std::uint64_t>(std::ceil(longer / tile) * std::ceil(shorter / tile));
}

}  // namespace

std::uint64_t tokens_of_picture(std::string_view model, std::string_view url, bool low_detail) {
  const auto* const found =
      std::find_if(picture_prices.begin(), picture_prices.end(),
                   [model](const auto& price) { return model.starts_with(price.model); });
  const auto& price = found == picture_prices.end() ? usual_price : *found;
  if (low_detail) return price.base;
  const auto size = size_at(url);
  return price.base + price.tile * (size ? tiles_of(*size) : most_tiles);
}

}  // namespace sluice::simulator
