// Prints token ids, for comparison with another tokenizer. Reads texts, each after a line
// "VOCABULARY BYTES", and writes one line of ids per text.

#include <cstdint>
#include <iostream>
#include <string>

#include "tokens/tokenizer.hpp"

int main() {
  using namespace sluice;
  std::ios::sync_with_stdio(false);
  std::string name;
  std::size_t size = 0;
  while (std::cin >> name >> size) {
    const tokenizer* encoder =
        tokenizer::of(name == "cl100k_base" ? vocabulary::cl100k_base : vocabulary::o200k_base);
    std::string text(size, '\0');
    std::cin.ignore();
    if (encoder == nullptr || !std::cin.read(text.data(), static_cast<std::streamsize>(size))) {
      return 1;
    }
    const auto ids = encoder->encode(text);
    if (!ids) return 1;
    const char* before = "";
    for (const std::uint32_t id : *ids) {
      std::cout << before << id;
      before = " ";
    }
    std::cout << '\n';
  }
  return std::cin.eof() ? 0 : 1;
}
