#pragma once
#include <array>
#include <cstdint>
#include <span>

#include "backends/block/block_backend.h"
#include "base/result.h"

namespace vireo::devices {

/// The task file of one drive. Registers that are written twice for 48-bit addresses remember what
/// they had before, in [1].
struct IdeRegisters {
  using Twice = std::array<std::uint8_t, 2>;
  std::uint8_t error = 0;
  std::uint8_t status = 0;
  Twice features{}, count{}, lba_low{}, lba_mid{}, lba_high{};
  std::uint8_t device = 0;
  std::uint8_t multiple = 0;              ///< sectors of a block of READ MULTIPLE; 0: not set
  std::uint8_t heads = 16, sectors = 63;  ///< for addresses by cylinder
  std::uint8_t transfer_mode = 0;         ///< as SET FEATURES has it
  std::uint8_t write_through = 0;         ///< the write cache is off
  std::uint8_t sense_key = 0, sense_code = 0, sense_qualifier = 0;  ///< of a packet device

  bool operator==(const IdeRegisters&) const = default;
  static void fields(auto& self, auto&& visit) {
    auto& [error, status, features, count, low, mid, high, device, multiple, heads, sectors, mode,
           through, key, code, qualifier] = self;
    visit("error", error), visit("status", status), visit("features", features);
    visit("count", count), visit("lba_low", low), visit("lba_mid", mid), visit("lba_high", high);
    visit("device", device), visit("multiple", multiple), visit("heads", heads);
    visit("sectors", sectors), visit("transfer_mode", mode), visit("write_through", through);
    visit("sense_key", key), visit("sense_code", code), visit("sense_qualifier", qualifier);
  }
};

/// What is left of a command: bytes that pass between guest and drive, by way of a buffer.
struct IdeTask {
  std::uint8_t to_guest = 0;
  std::uint8_t dma = 0;
  std::uint8_t stored = 0;     ///< they come from the medium or go there; otherwise only the buffer
  std::uint8_t packet = 0;     ///< what comes is a command packet
  std::uint8_t answer = 0;     ///< it is that of a packet
  std::uint8_t flush = 0;      ///< done when the medium has been flushed
  std::uint64_t position = 0;  ///< on the medium, of what comes next
  std::uint64_t left = 0;      ///< bytes that have not been in the buffer yet
  std::uint32_t block = 0;     ///< so many bytes at a time by PIO
  std::uint32_t index = 0, end = 0,
                filled = 0;  ///< of the buffer: next byte, of this block, of all

  bool operator==(const IdeTask&) const = default;
  static void fields(auto& self, auto&& visit) {
    auto& [to_guest, dma, stored, packet, answer, flush, position, left, block, index, end,
           filled] = self;
    visit("to_guest", to_guest), visit("dma", dma), visit("stored", stored);
    visit("packet", packet), visit("answer", answer), visit("flush", flush),
        visit("position", position);
    visit("left", left), visit("block", block), visit("index", index), visit("end", end);
    visit("filled", filled);
  }
};

/// A drive on an IDE channel: it knows commands, and says as a task what is to be transferred; the
/// channel does that. Called with the channel's lock held.
class IdeDrive {
 public:
  static constexpr std::uint32_t kBuffer = 64 << 10;
  using Buffer = std::array<std::uint8_t, kBuffer>;

  /// How a command goes on.
  enum class Next : std::uint8_t {
    kDone,    ///< the registers hold the outcome; an interrupt tells so
    kSilent,  ///< the same without an interrupt
    kTask,    ///< by the task
  };

  /// The medium outlives it.
  explicit IdeDrive(backends::BlockBackend& medium) : medium_(medium) {}
  virtual ~IdeDrive() = default;

  /// `task` is empty; data that is not on the medium goes into the buffer.
  virtual Next execute(std::uint8_t command, IdeTask& task, Buffer& buffer) = 0;
  /// The packet that a task asked for is at the front of the buffer.
  virtual Next execute_packet(IdeTask& task, Buffer& buffer) = 0;
  /// The guest is about to transfer a block of so many bytes by PIO.
  virtual void begin_block(const IdeTask& task, std::uint32_t bytes) = 0;
  /// The guest has taken the last byte by PIO; whether an interrupt follows.
  virtual bool end_pio_in(const IdeTask& task) = 0;
  /// The task is over; the status goes into the registers.
  virtual void finish(const IdeTask& task, bool failed) = 0;
  /// As after power-on or a reset of the drive, with the signature of its kind.
  virtual void reset() = 0;

  backends::BlockBackend& medium() { return medium_; }
  IdeRegisters registers;

 protected:
  /// The command is not known or makes no sense.
  Next abort();
  /// Bytes from the buffer to the guest.
  static void send_buffer(IdeTask& task, std::uint32_t bytes, std::uint32_t block);
  void set_ready();

 private:
  backends::BlockBackend& medium_;
};

}  // namespace vireo::devices
