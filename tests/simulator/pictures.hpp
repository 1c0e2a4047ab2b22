// The beginnings of pictures, as data URLs.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace sluice::simulator {

inline std::string base64(std::string_view bytes) {
  constexpr std::string_view digits =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string text;
  for (std::size_t at = 0; at < bytes.size(); at += 3) {
    std::uint32_t three = 0;
    for (std::size_t byte = at; byte < at + 3; ++byte)
      three = three << 8U |
              (byte < bytes.size() ? static_cast<unsigned char>(bytes[byte]) : std::uint32_t{0});
    for (std::size_t digit = 0; digit < 4; ++digit)
      text += at + digit > bytes.size() ? '=' : digits[three >> (18 - 6 * digit) & 63U];
  }
  return text;
}

/// The number in `count` bytes, the highest first.
inline std::string big_endian(std::uint32_t number, int count) {
  std::string bytes;
  for (int left = count - 1; left >= 0; --left)
    bytes += static_cast<char>(number >> static_cast<unsigned>(8 * left) & 0xFFU);
  return bytes;
}

inline std::string png(std::uint32_t width, std::uint32_t height) {
  using namespace std::string_literals;
  return "data:image/png;base64," +
         base64("\x89PNG\r\n\x1a\n\0\0\0\x0dIHDR"s + big_endian(width, 4) + big_endian(height, 4) +
                "\x08\x06\0\0\0"s);
}

inline std::string gif(std::uint32_t width, std::uint32_t height) {
  const auto side = [](std::uint32_t pixels) {
    const auto bytes = big_endian(pixels, 2);
    return std::string{bytes[1], bytes[0]};
  };
  return "data:image/gif;base64," + base64("GIF89a" + side(width) + side(height) + "rest");
}

inline std::string jpeg(std::uint32_t width, std::uint32_t height) {
  using namespace std::string_literals;
  const auto before =
      "\xff\xd8\xff\xe0\x00\x10"s + std::string(14, 'x') + "\xff\xff\xc2\x00\x11\x08"s;
  return "data:image/jpeg;base64," +
         base64(before + big_endian(height, 2) + big_endian(width, 2) + std::string(12, 'x'));
}

}  // namespace sluice::simulator
