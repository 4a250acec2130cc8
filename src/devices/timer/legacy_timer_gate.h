#pragma once
#include <mutex>

#include "bus/irq_line.h"

namespace vireo::devices {

/// Who drives IRQ 0 and IRQ 8: the PIT and the RTC, or timers 0 and 1 of the HPET while its legacy
/// replacement is on (HPET 1.0a, 2.3.5). Thread safe; drives the lines with its lock held.
class LegacyTimerGate {
 public:
  LegacyTimerGate(bus::IrqLine& irq0, bus::IrqLine& irq8) : irq0_(irq0), irq8_(irq8) {}
  LegacyTimerGate(const LegacyTimerGate&) = delete;

  bus::IrqLine& pit() { return irq0_.classic; }
  bus::IrqLine& rtc() { return irq8_.classic; }
  bus::IrqLine& hpet_timer0() { return irq0_.replacement; }
  bus::IrqLine& hpet_timer1() { return irq8_.replacement; }
  void set_replacement(bool on) {
    irq0_.select(on);
    irq8_.select(on);
  }

 private:
  class Switch {
   public:
    explicit Switch(bus::IrqLine& output) : classic(*this), replacement(*this), output_(output) {}
    struct Source final : bus::IrqLine {
      explicit Source(Switch& the_owner) : owner(the_owner) {}
      void set_level(bool high) override {
        const std::lock_guard lock(owner.mutex_);
        level = high;
        owner.drive();
      }
      Switch& owner;
      bool level = false;
    };
    void select(bool use_replacement) {
      const std::lock_guard lock(mutex_);
      replaced_ = use_replacement;
      drive();
    }
    Source classic;
    Source replacement;

   private:
    void drive() { output_.set_level(replaced_ ? replacement.level : classic.level); }
    std::mutex mutex_;
    bool replaced_ = false;
    bus::IrqLine& output_;
  };

  Switch irq0_;
  Switch irq8_;
};

}  // namespace vireo::devices
