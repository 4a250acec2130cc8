; What a CPU model lacks is not only hidden in CPUID (the runner shows that for every feature): its
; instructions do not exist or mean what they meant before it, and the control bits, MSRs and bits
; of page tables behind it are reserved. Each case runs on a CPU with the feature and on one without.

; mode: long-kernel

; case: {CODE}
; columns: FEATURE CODE
; row: fpu | fnstcw [rdi]
; row: fpu | fninit
; row: tsc | rdtsc
; row: clflush | clflush [rdi]
; row: mmx | paddb mm0, mm1
; row: mmx | movq mm0, rax
; row: mmx | emms
; row: mmx | pavgb mm0, mm1
; row: mmx | pmovmskb eax, mm0
; row: mmx | cvtpi2ps xmm0, mm1
; row: mmx | cvttps2pi mm0, xmm1
; row: mmx | cvttpd2pi mm0, xmm1
; row: mmx | paddq mm0, mm1
; row: mmx | movdq2q mm0, xmm1
; row: mmx | movq2dq xmm0, mm1
; row: mmx | pabsb mm0, mm1
; row: fxsr | fxsave [rdi]
; row: fxsr | fxrstor64 [rdi]
; row: sse | addps xmm0, xmm1
; row: sse | movups xmm0, [rdi]
; row: sse | ldmxcsr [rdi]
; row: sse | stmxcsr [rdi]
; row: sse | sfence
; row: sse | prefetcht0 [rdi]
; row: sse | cvtpi2ps xmm0, mm1
; row: sse | pavgb mm0, mm1
; row: sse | pmovmskb eax, mm0
; row: sse | pshufw mm0, mm1, 0
; row: sse | pinsrw mm0, eax, 0
; row: sse | maskmovq mm0, mm1
; row: sse | movntq [rdi], mm0
; row: sse2 | addpd xmm0, xmm1
; row: sse2 | cvtpi2pd xmm0, mm1
; row: sse2 | movdqa xmm0, [rdi]
; row: sse2 | pshufd xmm0, xmm1, 0
; row: sse2 | paddb xmm0, xmm1
; row: sse2 | paddq mm0, mm1
; row: sse2 | pmuludq mm0, mm1
; row: sse2 | movdq2q mm0, xmm1
; row: sse2 | movnti [rdi], eax
; row: sse2 | maskmovdqu xmm0, xmm1
; row: sse2 | lfence
; row: sse2 | mfence
; row: pni | addsubpd xmm0, xmm1
; row: pni | movddup xmm0, xmm1
; row: pni | lddqu xmm0, [rdi]
; row: pni | fisttp dword [rdi]
; row: pclmulqdq | pclmulqdq xmm0, xmm1, 0
; row: pclmulqdq | vpclmulqdq xmm0, xmm1, xmm2, 0
; row: avx | vpclmulqdq xmm0, xmm1, xmm2, 0
; row: monitor | monitor
; row: monitor | mwait
; row: ssse3 | pshufb xmm0, xmm1
; row: ssse3 | pabsb mm0, mm1
; row: ssse3 | palignr mm0, mm1, 1
; row: fma | vfmadd132ps ymm0, ymm1, ymm2
; row: fma | vfnmsub231sd xmm0, xmm1, xmm2
; row: cx16 | cmpxchg16b [rdi]
; row: sse4_1 | pcmpeqq xmm0, xmm1
; row: sse4_1 | roundps xmm0, xmm1, 0
; row: sse4_1 | pextrb eax, xmm0, 1
; row: sse4_1 | pextrw [rdi], xmm0, 1
; row: sse4_1 | ptest xmm0, xmm1
; row: sse4_1 | movntdqa xmm0, [rdi]
; row: sse4_1 | mpsadbw xmm0, xmm1, 0
; row: sse4_2 | pcmpgtq xmm0, xmm1
; row: sse4_2 | pcmpistri xmm0, xmm1, 0
; row: sse4_2 | crc32 eax, bl
; row: sse4_2 | crc32 eax, ebx
; row: movbe | movbe eax, [rdi]
; row: movbe | movbe [rdi], rax
; row: popcnt | popcnt eax, ebx
; row: popcnt | popcnt rax, [rdi]
; row: aes | aesenc xmm0, xmm1
; row: aes | aeskeygenassist xmm0, xmm1, 1
; row: aes | vaesdec xmm0, xmm1, xmm2
; row: avx | vaesdec xmm0, xmm1, xmm2
; row: xsave | xgetbv
; row: xsave | xsetbv
; row: xsave | xsave [rdi]
; row: xsave | xrstor64 [rdi]
; row: avx | vaddps xmm0, xmm1, xmm2
; row: avx | vaddpd ymm0, ymm1, ymm2
; row: avx | vpaddd xmm0, xmm1, xmm2
; row: avx | vpshufb xmm0, xmm1, xmm2
; row: avx | vbroadcastss ymm0, [rdi]
; row: avx | vmaskmovps xmm0, xmm1, [rdi]
; row: avx | vldmxcsr [rdi]
; row: avx | vzeroupper
; row: avx | vzeroall
; row: f16c | vcvtph2ps xmm0, xmm1
; row: f16c | vcvtps2ph [rdi], ymm0, 0
; row: rdrand | rdrand eax
; row: rdrand | rdrand rbx
; row: fsgsbase | rdfsbase rax
; row: fsgsbase | rdgsbase eax
; row: fsgsbase | wrfsbase rdi
; row: fsgsbase | wrgsbase edi
; row: bmi1 | andn eax, ebx, ecx
; row: bmi1 | bextr rax, rbx, rcx
; row: bmi1 | blsr eax, ebx
; row: bmi1 | blsi eax, [rdi]
; row: bmi1 | blsmsk eax, ebx
; row: avx2 | vpaddd ymm0, ymm1, ymm2
; row: avx2 | vbroadcastss xmm0, xmm1
; row: avx2 | vpbroadcastb xmm0, xmm1
; row: avx2 | vpsllvd xmm0, xmm1, xmm2
; row: avx2 | vpblendd xmm0, xmm1, xmm2, 1
; row: avx2 | vpmaskmovd xmm0, xmm1, [rdi]
; row: avx2 | vpgatherdd xmm0, [rdi+xmm1*4], xmm2
; row: avx2 | vinserti128 ymm0, ymm1, xmm2, 1
; row: avx2 | vpermq ymm0, ymm1, 0
; row: avx2 | vmovntdqa ymm0, [rdi]
; row: bmi2 | mulx eax, ebx, ecx
; row: bmi2 | rorx eax, ebx, 1
; row: bmi2 | pdep eax, ebx, ecx
; row: bmi2 | pext rax, rbx, rcx
; row: bmi2 | bzhi eax, ebx, ecx
; row: bmi2 | sarx eax, ebx, ecx
; row: bmi2 | shlx eax, ebx, ecx
; row: bmi2 | shrx eax, ebx, ecx
; row: invpcid | invpcid rdx, [rdi]
; row: rdseed | rdseed eax
; row: adx | adcx eax, ebx
; row: adx | adox rax, rbx
; row: smap | clac
; row: smap | stac
; row: clflushopt | clflushopt [rdi]
; row: clwb | clwb [rdi]
; row: sha_ni | sha256rnds2 xmm1, xmm2
; row: sha_ni | sha1rnds4 xmm1, xmm2, 0
; row: sha_ni | sha256msg1 xmm1, xmm2
; row: pku | rdpkru
; row: pku | wrpkru
; row: rdpid | rdpid rax
; row: xsaveopt | xsaveopt [rdi]
; row: xsavec | xsavec [rdi]
; row: xsaves | xsaves [rdi]
; row: lahf_lm | lahf
; row: lahf_lm | sahf
; row: rdtscp | rdtscp
; feature: {FEATURE}
; in: cr4|=0x450000, xcr0=0x207, rax=7, rcx=0, rdx=0, rdi=DATA, xmm1=0, ymm2=0
; expect: stop=end
; without: fault=#UD, rip=case_start
    {CODE}

; case: in 32-bit code {CODE}
; mode: protected32
; columns: FEATURE CODE
; row: fpu | fld1
; row: fpu | fcmove st0, st0
; row: fpu | fcomi st0, st0
; row: msr | rdmsr
; row: msr | wrmsr
; row: cx8 | cmpxchg8b [edi]
; row: cmov | cmove eax, ebx
; row: cmov | cmovg ax, [edi]
; row: cmov | fcmove st0, st0
; row: cmov | fcomi st0, st0
; row: cmov | fucomip st0, st0
; feature: {FEATURE}
; in: rcx=0x10, rdi=DATA, rax=0, rdx=0
; expect: stop=end
; without: fault=#UD, rip=case_start
    {CODE}

; case: {CODE} has no target yet
; mode: protected32
; columns: FEATURE CODE
; row: sep | sysenter
; row: sep | sysexit
; feature: {FEATURE}
; expect: fault=#GP, error=0, rip=case_start
; without: fault=#UD, rip=case_start
    {CODE}

; case: {CODE} of a compacted image
; columns: FEATURE CODE
; row: xsaves | xrstors [rdi]
; feature: {FEATURE}
; in: cr4|=0x40000, xcr0=7, rax=7, rdx=0, rdi=DATA, [DATA+520].8=0x8000000000000000
; expect: stop=end
; without: fault=#UD, rip=case_start
    {CODE}

; case: xrstor takes compacted images
; feature: xsavec
; in: cr4|=0x40000, xcr0=7, rax=7, rdx=0, rdi=DATA, [DATA+520].8=0x8000000000000000
; expect: stop=end
; without: fault=#GP, error=0, rip=case_start
    xrstor [rdi]

; case: xgetbv of what is in use
; feature: xgetbv1
; in: cr4|=0x40000, rcx=1
; expect: stop=end
; without: fault=#GP, error=0, rip=case_start
    xgetbv

; case: syscall
; mode: long-user
; feature: syscall
; in: lstar=target
; expect: stop=halt, rip=target+1
; without: fault=#UD, rip=case_start
    syscall
target:
    hlt

; case: sysret
; feature: syscall
; in: page[CODE]=CODE|P|W|U, rcx=target, r11=2
; expect: fault=#BP, cs=0x2b
; without: fault=#UD, rip=case_start
    o64 sysret
target:
    int3

; case: tzcnt was bsf
; feature: bmi1
; in: rax=0, rcx=7
; expect: rcx=64, cf=1
; without: rcx=7, zf=1
    tzcnt rcx, rax

; case: tzcnt with an operand-size prefix was bsf
; feature: bmi1
; in: rax=0, rcx=7
; expect: rcx=16, cf=1
; without: rcx=7, zf=1
    tzcnt cx, ax

; case: lzcnt was bsr
; feature: abm
; in: rax=0x10
; expect: rcx=59
; without: rcx=4
    lzcnt rcx, rax

; case: a hint to fetch for writing was a no-operation
; feature: 3dnowprefetch
; in: rdi=HOLE
; expect: stop=end
; without: stop=end
    prefetchw [rdi]

; case: the hypervisor names itself
; feature: hypervisor
; in: rax=0x40000000
; expect: rcx=1
; without: rcx=0
    cpuid
    xor ecx, ecx
    cmp ebx, 0x65726956
    sete cl

; case: CR4 bit {BIT}
; mode: protected32
; columns: FEATURE BIT
; row: vme | 0
; row: vme | 1
; row: tsc | 2
; row: de | 3
; row: pse | 4
; row: pae | 5
; row: mce | 6
; row: pge | 7
; row: fxsr | 9
; row: sse | 10
; row: umip | 11
; row: la57 | 12
; row: fsgsbase | 16
; row: xsave | 18
; row: smep | 20
; row: smap | 21
; row: pku | 22
; feature: {FEATURE}
; in: cr4=0, rax=1<<{BIT}
; expect: cr4=1<<{BIT}
; without: fault=#GP, error=0, rip=case_start, cr4=0
    mov cr4, eax

; case: CR4 bit 17
; feature: pcid
; in: rax=0x20620
; expect: cr4=0x20620
; without: fault=#GP, error=0, rip=case_start, cr4=0x628
    mov cr4, rax

; case: EFER bit {BIT}
; mode: protected32
; columns: FEATURE BIT
; row: syscall | 0
; row: lm | 8
; row: nx | 11
; feature: {FEATURE}
; in: rcx=0xc0000080, rax=1<<{BIT}, rdx=0
; expect: efer=1<<{BIT}
; without: fault=#GP, error=0, rip=case_start, efer=0
    wrmsr

; case: XCR0 as {VALUE}
; columns: FEATURE VALUE
; row: sse | 3
; row: avx | 7
; row: pku | 0x201
; feature: {FEATURE}
; in: cr4|=0x40000, rcx=0, rax={VALUE}, rdx=0
; expect: xcr0={VALUE}
; without: fault=#GP, error=0, rip=case_start, xcr0=1
    xsetbv

; case: MSR {INDEX} read
; mode: protected32
; columns: FEATURE INDEX
; row: tsc | 0x10
; row: apic | 0x1b
; row: tsc_adjust | 0x3b
; row: spec_ctrl | 0x48
; row: mtrr | 0xfe
; row: mtrr | 0x200
; row: mtrr | 0x20f
; row: mtrr | 0x250
; row: mtrr | 0x268
; row: mtrr | 0x2ff
; row: arch_capabilities | 0x10a
; row: sep | 0x174
; row: sep | 0x175
; row: sep | 0x176
; row: mca | 0x179
; row: mca | 0x17a
; row: mca | 0x400
; row: pat | 0x277
; row: tsc_deadline_timer | 0x6e0
; row: x2apic | 0x808
; row: xsaves | 0xda0
; row: syscall | 0xc0000081
; row: lm | 0xc0000082
; row: lm | 0xc0000083
; row: lm | 0xc0000084
; row: lm | 0xc0000100
; row: lm | 0xc0000101
; row: lm | 0xc0000102
; feature: {FEATURE}
; in: rcx={INDEX}
; expect: stop=end
; without: fault=#GP, error=0, rip=case_start
    rdmsr

; case: MSR {INDEX} written
; mode: protected32
; columns: FEATURE INDEX VALUE
; row: tsc | 0x10 | 5
; row: tsc_adjust | 0x3b | 5
; row: spec_ctrl | 0x48 | 1
; row: spec_ctrl | 0x49 | 1
; row: stibp | 0x48 | 2
; row: bhi_ctrl | 0x48 | 0x400
; row: mtrr | 0x250 | 0
; row: mtrr | 0x2ff | 0
; row: sep | 0x174 | 8
; row: mca | 0x17a | 0
; row: pat | 0x277 | 6
; row: tsc_deadline_timer | 0x6e0 | 0
; row: x2apic | 0x808 | 0
; row: xsaves | 0xda0 | 0
; row: syscall | 0xc0000081 | 0
; row: lm | 0xc0000082 | 0
; feature: {FEATURE}
; in: rcx={INDEX}, rax={VALUE}, rdx=0
; expect: stop=end
; without: fault=#GP, error=0, rip=case_start
    wrmsr

; case: TSC_AUX without rdtscp and rdpid does not exist
; cpu: host,-rdtscp,-rdpid
; in: rcx=0xc0000103
; expect: fault=#GP, error=0, rip=case_start
    rdmsr

; case: pages of 1 GiB
; feature: pdpe1gb
; in: [PDPT+8].8=PS|P|W, [DATA].8=0x1234, rdi=0x40000000|DATA
; expect: rax=0x1234
; without: fault=#PF, error=9, rip=case_start
    mov rax, [rdi]

; case: pages of 4 MiB above 4 GiB
; mode: paged32
; feature: pse36
; in: [ROOT+4].4=0x2000|PS|P|W, rdi=0x400041
; expect: rax=0x42
; without: fault=#PF, error=9, rip=case_start
    movzx eax, byte [edi]

; case: the PAT bit of a page
; mode: long-kernel, pae32, paged32
; feature: pat
; in: page[DATA]=DATA|0x80|P|W, [DATA].4=0x1234
; expect: rax=0x1234
; without: fault=#PF, error=9, rip=case_start
    mov eax, [DATA]

; case: the PAT bit of a large page
; mode: long-kernel
; feature: pat
; in: [PD+16].8=0x1000|PS|P|W, [DATA].4=0x1234
; expect: rax=0x1234
; without: fault=#PF, error=9, rip=case_start
    mov eax, [0x400000|DATA]

; case: the PAT bit of a 4 MiB page
; mode: paged32
; feature: pat
; in: [ROOT+4].4=0x1000|PS|P|W, [DATA].4=0x1234
; expect: rax=0x1234
; without: fault=#PF, error=9, rip=case_start
    mov eax, [0x400000|DATA]
