"""What the processes of one server share: the board that each worker keeps its figures on."""

from skitai.processes.board import BOARD_VARIABLE, Board, Slot, State

__all__ = ["BOARD_VARIABLE", "Board", "Slot", "State"]
