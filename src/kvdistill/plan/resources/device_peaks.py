"""Peak of a device in TFLOP/s, by its name: what MFU divides by.

Dense products of 16 bit (bfloat16 where the card has it, accumulated in float32), without
sparsity, as the makers' data sheets and architecture papers state them. A CPU has none here: what
it reaches hangs on its clock and cores.
"""

PEAK_TFLOPS = (
    ("B200", 2250.0),  # NVIDIA DGX B200 data sheet: 72 PFLOP/s FP8 of eight with sparsity
    ("GH200", 989.5),  # NVIDIA GH200 data sheet
    ("H200 NVL", 835.5),  # NVIDIA H200 data sheet
    ("H200", 989.5),
    ("H100 NVL", 835.5),  # NVIDIA H100 data sheet
    ("H100 PCIe", 756.5),
    ("H100", 989.5),
    ("H800 PCIe", 756.5),
    ("H800", 989.5),
    ("A100", 312.0),  # NVIDIA A100 data sheet
    ("A800", 312.0),
    ("A40", 149.7),  # NVIDIA A40 data sheet
    ("A30", 165.0),  # NVIDIA A30 data sheet
    ("A10G", 70.0),  # NVIDIA A10G data sheet
    ("A10", 125.0),  # NVIDIA A10 data sheet
    ("L40S", 362.05),  # NVIDIA L40S data sheet
    ("L40", 181.05),  # NVIDIA L40 data sheet
    ("L4", 121.0),  # NVIDIA L4 data sheet
    ("RTX 6000 Ada", 364.2),  # NVIDIA RTX 6000 Ada data sheet
    ("RTX A6000", 154.8),  # NVIDIA RTX A6000 data sheet
    ("RTX 4090", 165.2),  # NVIDIA Ada architecture paper, appendix A
    ("RTX 3090", 71.0),  # NVIDIA GA102 architecture paper, appendix A
    ("V100", 125.0),  # NVIDIA V100 data sheet: float16, it has no bfloat16
    ("MI300X", 1307.4),  # AMD Instinct MI300X data sheet
    ("MI250X", 383.0),  # AMD Instinct MI250X data sheet
)  # fmt: skip
"""(words of the device's name, TFLOP/s); the first whose words are all in a name is its."""


def find_peak_tflops(device: str) -> float | None:
    """Peak of a device by the name that its driver gives; None for one that is not listed.

    None for a slice of one (MIG) too, which has only a share of its cores.
    """
    words = set(device.replace("-", " ").split())
    if "MIG" in words:
        return None
    return next((peak for name, peak in PEAK_TFLOPS if set(name.split()) <= words), None)
