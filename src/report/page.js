'use strict';
// Rows of the reasons that hold all the words; without this script all of them stand there.
{
  const box = document.getElementById('filter'), input = document.getElementById('filter-text');
  const rows = [...document.querySelectorAll('#reason-table tbody tr')];
  const texts = rows.map((row) => row.textContent.toLowerCase());
  const apply = () => {
    const words = input.value.toLowerCase().split(/\s+/).filter(Boolean);
    let shown = 0;
    rows.forEach((row, i) => {
      row.hidden = !words.every((word) => texts[i].includes(word));
      if (!row.hidden) ++shown;
    });
    document.getElementById('filter-count').textContent = `${shown} of ${rows.length}`;
  };
  box.hidden = false;
  input.addEventListener('input', apply);
  apply();
}
