/** The sample documents: two that have terms in common, and one in Chinese. */
export const samples = [
  { file: 'tides.md', title: 'Tides' },
  { file: 'harbours.md', title: 'Harbours' },
  { file: 'tea.md', title: '茶的故事' },
] as const
